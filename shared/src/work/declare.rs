//! How a workload is declared: the macros behind the files of the families.
//!
//! ```text
//! workloads! {
//!     Network, network_workloads;
//!
//!     /// a MAC soft ring's worker: waits for packets, passes each on to its sink
//!     soft_ring SoftRing by mac_soft_ring_worker
//!     needs {
//!         /// the interrupt that brings packets
//!         source: interrupt,
//!     }
//!     {
//!         /// who gets them next
//!         sink: maybe(thread),
//!         /// us of work a packet
//!         cost_us: number(0..=1_000_000) = 5,
//!     }
//! }
//! ```
//!
//! | a parameter | is of type | and takes |
//! |---|---|---|
//! | `number(0..=15) = 3` | `u64` | a number of that range; 3 if it is not given |
//! | `maybe(0..=15, none 16)` | `Option<u64>` | a number of that range, or 16 for `None`, which is the default |
//! | `choice(Mode) = User` | `Mode` | one of the words of that [`choices`] |
//! | `maybe(thread)`, `maybe(interrupt)`, `maybe(stream)` | `Option<ThreadRef>`, `Option<IntrRef>`, `Option<StreamRef>` | a name of the scenario; `None` if it is not given |
//! | `thread`, `interrupt`, `taskq`, `stream`, in `needs` | `ThreadRef`, `IntrRef`, `TaskqRef`, `StreamRef` | a name of the scenario, which must be given |
//!
//! The comment above a workload or a parameter is printed: documents and messages quote it. It is also the documentation of the
//! type or field. `by` names the workload's function in the guest, if that is not the workload's name.
//!
//! # Invariants
//! - Each parameter is one word of the record, in the order of the declaration, those of `needs` first.
//! - A declaration whose workload has no function in the guest does not compile there: see `guest/workloads/src/lib.rs`.

/// The words that a parameter chooses from, as a type.
macro_rules! choices {
    ($(
        #[doc = $doc:literal]
        $Name:ident { $($Variant:ident $word:literal),* $(,)? }
    )*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Name {
            $(#[doc = concat!("`\"", $word, "\"`.")] $Variant),*
        }

        impl $Name {
            /// The words, in the order of the values.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
        }

        impl crate::work::Word for $Name {
            fn to_word(self) -> u64 {
                self as u64
            }

            fn from_word(word: u64) -> Option<$Name> {
                [$($Name::$Variant),*].get(usize::try_from(word).ok()?).copied()
            }
        }
    )*};
}

/// What the kind of a parameter means: its type, its [`crate::work::Kind`], its default as a value and as a word, and how it is
/// read from a word and written to one.
macro_rules! param {
    (type thread) => { crate::work::ThreadRef };
    (type interrupt) => { crate::work::IntrRef };
    (type taskq) => { crate::work::TaskqRef };
    (type stream) => { crate::work::StreamRef };
    (type number $range:tt) => { u64 };
    (type choice ($Choice:ident)) => { $Choice };
    (type maybe (thread)) => { Option<crate::work::ThreadRef> };
    (type maybe (interrupt)) => { Option<crate::work::IntrRef> };
    (type maybe (stream)) => { Option<crate::work::StreamRef> };
    (type maybe $range:tt) => { Option<u64> };

    (kind number ($min:tt ..= $max:tt)) => { crate::work::Kind::Number($min, $max) };
    (kind choice ($Choice:ident)) => { crate::work::Kind::Choice($Choice::WORDS) };
    (kind thread) => { crate::work::Kind::Thread };
    (kind interrupt) => { crate::work::Kind::Interrupt };
    (kind taskq) => { crate::work::Kind::Taskq };
    (kind stream) => { crate::work::Kind::Stream };
    (kind maybe (thread)) => { crate::work::Kind::Thread };
    (kind maybe (interrupt)) => { crate::work::Kind::Interrupt };
    (kind maybe (stream)) => { crate::work::Kind::Stream };
    // The word for "none" is next to the range, so that files may give it too.
    (kind maybe ($min:tt ..= $max:tt, none $none:tt)) => {
        crate::work::Kind::Number(
            if $none < $min { $none } else { $min },
            if $none > $max { $none } else { $max },
        )
    };

    (default number $range:tt $default:tt) => { $default };
    (default choice ($Choice:ident) $default:ident) => { $Choice::$default };
    (default maybe $of:tt) => { None };

    (word number $range:tt $default:tt) => { $default };
    (word choice ($Choice:ident) $default:ident) => { $Choice::$default as u64 };
    (word maybe ($min:tt ..= $max:tt, none $none:tt)) => { $none };
    (word maybe $of:tt) => { crate::work::NOBODY };

    (to maybe ($min:tt ..= $max:tt, none $none:tt) $value:expr) => { $value.unwrap_or($none) };
    (to maybe $of:tt $value:expr) => { $value.map_or(crate::work::NOBODY, crate::work::Word::to_word) };
    (to $kind:ident $of:tt $value:expr) => { crate::work::Word::to_word($value) };

    (from maybe ($min:tt ..= $max:tt, none $none:tt) $word:expr) => { crate::work::perhaps($word, $none) };
    (from maybe $of:tt $word:expr) => { crate::work::perhaps($word, crate::work::NOBODY) };
    (from $kind:ident $of:tt $word:expr) => { crate::work::Word::from_word($word) };
}

/// A family of workloads: a type for each, one type that is any of them, and the list from which the guest makes its calls.
macro_rules! workloads {
    (
        $Family:ident, $list:ident;
        $(
            #[doc = $doc:literal]
            $name:ident $Name:ident $(by $function:ident)?
            $(needs { $(
                #[doc = $need_doc:literal]
                $need:ident: $need_kind:ident
            ),* $(,)? })?
            { $(
                #[doc = $param_doc:literal]
                $param:ident: $kind:ident $of:tt $(= $default:tt)?
            ),* $(,)? }
        )*
    ) => {
        $(
            #[doc = $doc]
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $Name {
                $($(#[doc = $need_doc] pub $need: param!(type $need_kind),)*)?
                $(#[doc = $param_doc] pub $param: param!(type $kind $of),)*
            }

            impl $Name {
                /// What its declaration says.
                pub const WORK: crate::work::Work = crate::work::Work {
                    name: stringify!($name),
                    doc: $doc.trim_ascii_start(),
                    params: &[
                        $($(crate::work::Param {
                            name: stringify!($need),
                            kind: param!(kind $need_kind),
                            default: crate::work::NOBODY,
                            required: true,
                            doc: $need_doc.trim_ascii_start(),
                        },)*)?
                        $(crate::work::Param {
                            name: stringify!($param),
                            kind: param!(kind $kind $of),
                            default: param!(word $kind $of $($default)?),
                            required: false,
                            doc: $param_doc.trim_ascii_start(),
                        },)*
                    ],
                };

                /// The workload with the parameters that must be given, and the defaults of all others.
                pub const fn defaults($($($need: param!(type $need_kind)),*)?) -> $Name {
                    $Name {
                        $($($need,)*)?
                        $($param: param!(default $kind $of $($default)?),)*
                    }
                }

                fn words(self) -> [u64; crate::work::MAX_ARGS] {
                    let mut words = [0; crate::work::MAX_ARGS];
                    let given: &[u64] = &[
                        $($(param!(to $need_kind () self.$need),)*)?
                        $(param!(to $kind $of self.$param),)*
                    ];
                    words[..given.len()].copy_from_slice(given);
                    words
                }

                fn from_words(words: &[u64; crate::work::MAX_ARGS]) -> Option<$Name> {
                    let mut _words = words.iter().copied();
                    // The fields of a structure are computed in the order in which they are written.
                    Some($Name {
                        $($($need: param!(from $need_kind () _words.next()?)?,)*)?
                        $($param: param!(from $kind $of _words.next()?)?,)*
                    })
                }
            }

            impl From<$Name> for crate::work::Workload {
                fn from(work: $Name) -> crate::work::Workload {
                    crate::work::Workload::$Family($Family::$Name(work))
                }
            }

            const _: () = assert!($Name::WORK.params.len() <= crate::work::MAX_ARGS);
        )*

        /// Any workload of this family.
        #[allow(clippy::enum_variant_names, reason = "each is called as its workload")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $Family {
            $(#[doc = $doc] $Name($Name),)*
        }

        impl $Family {
            pub(super) const WORKS: &'static [crate::work::Work] = &[$($Name::WORK),*];

            /// Its place in the family, and its words.
            pub(super) fn record(self) -> (usize, [u64; crate::work::MAX_ARGS]) {
                #[allow(clippy::enum_variant_names, reason = "each is called as its workload")]
                enum Place { $($Name),* }
                match self {
                    $($Family::$Name(work) => (Place::$Name as usize, work.words()),)*
                }
            }

            pub(super) fn from_record(place: usize, words: &[u64; crate::work::MAX_ARGS]) -> Option<$Family> {
                type Read = fn(&[u64; crate::work::MAX_ARGS]) -> Option<$Family>;
                let read: &[Read] = &[$(|words| $Name::from_words(words).map($Family::$Name)),*];
                read.get(place)?(words)
            }
        }

        /// Gives the workloads of this family, with the names of their functions, to the macro `functions` of the crate that
        /// has the functions.
        #[macro_export]
        macro_rules! $list {
            () => {
                functions! { $Family: $($Name $name $($function)?;)* }
            };
        }
    };
}

/// All families: the list of workloads, and the type that is any of them.
macro_rules! families {
    ($($module:ident::$Family:ident),* $(,)?) => {
        /// A workload with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Workload {
            $(#[doc = concat!("One of [`", stringify!($module), "`].")] $Family($module::$Family),)*
        }

        #[repr(usize)]
        enum Family { $($Family),* }

        const FAMILIES: &[&[Work]] = &[$($module::$Family::WORKS),*];
        const COUNT: usize = first(FAMILIES.len());

        /// Every workload, in the order of the numbers.
        pub const WORKS: &[Work] = &all();

        /// The number of the first workload of a family.
        const fn first(family: usize) -> usize {
            let (mut n, mut before) = (0, 0);
            while n < family {
                before += FAMILIES[n].len();
                n += 1;
            }
            before
        }

        const fn all() -> [Work; COUNT] {
            let mut all = [FAMILIES[0][0]; COUNT];
            let (mut family, mut place, mut number) = (0, 0, 0);
            while number < COUNT {
                if place == FAMILIES[family].len() {
                    (family, place) = (family + 1, 0);
                } else {
                    all[number] = FAMILIES[family][place];
                    (place, number) = (place + 1, number + 1);
                }
            }
            all
        }

        impl Workload {
            /// What its declaration says.
            pub fn about(self) -> &'static Work {
                &WORKS[self.record().0 as usize]
            }

            /// Its number and the words of a record that carries it.
            pub fn record(self) -> (u32, [u64; MAX_ARGS]) {
                let (before, (place, words)) = match self {
                    $(Workload::$Family(work) => (first(Family::$Family as usize), work.record()),)*
                };
                ((before + place) as u32, words)
            }

            /// The workload that a record carries; `None` if there is none of this number, or a word is no choice and no
            /// place in a list. Ranges are not checked.
            pub fn from_record(number: u32, words: &[u64; MAX_ARGS]) -> Option<Workload> {
                let number = number as usize;
                $(
                    let place = number.checked_sub(first(Family::$Family as usize))?;
                    if place < FAMILIES[Family::$Family as usize].len() {
                        return $module::$Family::from_record(place, words).map(Workload::$Family);
                    }
                )*
                None
            }
        }
    };
}
