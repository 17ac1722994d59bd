//! What is written by hand: faults that have names, and faults that are none.
//!
//! # Invariants
//! - A named fault's text is found once in its function, or that is an error: it never means another place than its author did.
//! - An equivalent names a fault by its key, and a key that names none is an error.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::fault::{Change, Operator, Shape, Site};
use crate::find::Found;

/// Faults that have names.
const NAMED: &str = include_str!("../named.toml");

/// Faults that change nothing which anybody could see.
const EQUIVALENT: &str = include_str!("../equivalent.toml");

/// A fault that was written by hand.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its file, from the kernel's source folder.
    pub file: String,
    /// Its function, without its type.
    pub function: String,
    /// The text: whole statements, or an expression.
    pub find: String,
    /// What stands there instead.
    pub put: String,
    /// What the kernel then does wrong: for whoever reads the file.
    #[serde(rename = "breaks")]
    _breaks: String,
}

#[derive(Deserialize)]
struct NamedFile {
    fault: Vec<Named>,
}

#[derive(Deserialize)]
struct EquivalentFile {
    #[serde(default)]
    equivalent: Vec<Equivalent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Equivalent {
    fault: String,
    why: String,
}

/// Every named fault.
///
/// # Errors
///
/// The file is not what it should be.
pub fn named() -> Result<Vec<Named>, String> {
    let file: NamedFile = toml::from_str(NAMED).map_err(|e| format!("named.toml: {e}"))?;
    Ok(file.fault)
}

/// Why a fault changes nothing, by its key.
///
/// # Errors
///
/// The file is not what it should be.
pub fn equivalent() -> Result<BTreeMap<String, String>, String> {
    let file: EquivalentFile = toml::from_str(EQUIVALENT).map_err(|e| format!("equivalent.toml: {e}"))?;
    Ok(file.equivalent.into_iter().map(|e| (e.fault, e.why)).collect())
}

impl Named {
    /// Its place in its file, in which `found` is what the operators found.
    ///
    /// # Errors
    ///
    /// Its text is not there, is there twice, or cuts through another place.
    pub fn site(&self, source: &str, found: &Found) -> Result<Site, String> {
        let is_its = |function: &str| function.rsplit("::").next() == Some(&self.function);
        let bodies = found.functions.iter().filter(|(function, _)| is_its(function));
        let places: Vec<usize> = bodies
            .flat_map(|(_, body)| {
                source[body.clone()].match_indices(self.find.trim()).map(|(at, _)| body.start + at)
            })
            .collect();
        let [start] = places[..] else {
            return Err(format!(
                "named.toml: {}: its text is {} times in {} of {}, and should be once",
                self.name,
                places.len(),
                self.function,
                self.file
            ));
        };
        let range = start..start + self.find.trim().len();
        let cuts = |other: &Site| {
            let (a, b) = (&range, &other.range);
            a.start < b.start && b.start < a.end && a.end < b.end
                || b.start < a.start && a.start < b.end && b.end < a.end
        };
        if let Some(other) = found.sites.iter().find(|other| cuts(other)) {
            let text = &source[other.range.clone()];
            return Err(format!("named.toml: {}: its text cuts through `{text}`", self.name));
        }
        let is_statements = self.find.trim().ends_with([';', '}']);
        let put = self.put.trim();
        Ok(Site {
            range,
            shape: if is_statements { Shape::Statements } else { Shape::Expression },
            function: self.function.clone(),
            faults: vec![Change {
                operator: Operator::Named,
                text: put.to_owned(),
                name: Some(self.name.clone()),
            }],
        })
    }
}
