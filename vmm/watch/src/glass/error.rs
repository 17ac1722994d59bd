//! What can go wrong before the glass is clear.
//!
//! # Invariants
//! - Every message says what was attempted, what was found, and what to do about it.

/// Why the guest's structures cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum GlassError {
    /// The image is not a readable ELF file.
    #[error("reading the guest image as ELF: {found}; rebuild the guest image")]
    NotElf {
        /// What the ELF reader said.
        found: String,
    },
    /// The image has no debug information.
    #[error(
        "looking for types in the guest image: it has no .debug_info; build it with full debug information (debug = 2)"
    )]
    NoDebugInfo,
    /// The debug information does not parse.
    #[error("{attempt} in the guest's debug information: {source}; rebuild the guest image")]
    Dwarf {
        /// What was being looked for.
        attempt: String,
        /// What the DWARF reader said.
        #[source]
        source: gimli::Error,
    },
    /// A structure is not in the debug information.
    #[error(
        "looking for type {name} in namespace {namespace}: not in the guest's debug information; \
         if the kernel renamed it, change its name in glass/types.rs"
    )]
    MissingType {
        /// The structure.
        name: String,
        /// Where it was looked for, `a::b`.
        namespace: String,
    },
    /// A field is not in its structure.
    #[error(
        "looking for field {field} of {owner}: there is none{}; if the kernel renamed it, change its path where the host's record declares it",
        nearest.as_ref().map(|n| format!(" (the nearest name is {n})")).unwrap_or_default()
    )]
    MissingField {
        /// The structure.
        owner: String,
        /// The field.
        field: String,
        /// The structure's field whose name is most like it.
        nearest: Option<String>,
    },
    /// A field is there, but is another kind of thing than the host expects.
    #[error(
        "field {field} of {owner} is {found} where {expected} was expected; change the host's record in glass/ to match the kernel"
    )]
    Retyped {
        /// The structure.
        owner: String,
        /// The path of the field.
        field: String,
        /// What the host expects.
        expected: &'static str,
        /// What the guest has.
        found: String,
    },
    /// The fields of a record lie too far apart.
    #[error(
        "placing the fields of {record} in one copy: they take {bytes} bytes, at most {most} fit; split the record in two"
    )]
    TooLong {
        /// The record.
        record: &'static str,
        /// What its fields and the gaps between them take.
        bytes: usize,
        /// What fits.
        most: usize,
    },
    /// The kernel's root object does not look like one.
    #[error(
        "reading the guest's kernel object at {root:#x}: {found}; the guest is broken or its image is not the one booted"
    )]
    BadRoot {
        /// Where the boot block says it is.
        root: u64,
        /// What was found there.
        found: String,
    },
}
