//! Which kstats are asked for: `module:instance:name:statistic`, each part a glob or a regular expression between `/` and `/`.
//!
//! # Invariants
//! - A part that is empty or missing takes everything.

use regex_lite::Regex;

use super::Kstat;
use crate::lang::Failure;

/// What one part has to look like.
#[derive(Debug, Clone)]
pub struct Pattern(Option<Regex>);

impl Pattern {
    /// Takes everything.
    pub const ANY: Pattern = Pattern(None);

    /// A glob as the shell has it (`*`, `?`, `[a-z]`, `{a,b}`), or `/regex/`.
    ///
    /// # Errors
    /// [`Failure`] if it is no regular expression.
    pub fn read(text: &str) -> Result<Pattern, Failure> {
        if text.is_empty() {
            return Ok(Pattern::ANY);
        }
        let regex = match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(inside) => inside.to_owned(),
            None => format!("^{}$", globbed(text)),
        };
        let failed = |e| Failure::new(format!("`{text}` is no pattern: {e}"));
        Regex::new(&regex).map(|regex| Pattern(Some(regex))).map_err(failed)
    }

    /// True if it takes this text.
    pub fn takes(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

/// A glob as a regular expression.
fn globbed(text: &str) -> String {
    let (mut out, mut in_braces) = (String::new(), false);
    for c in text.chars() {
        match c {
            '*' => out += ".*",
            '?' => out += ".",
            '[' | ']' | '-' => out.push(c),
            '{' => {
                in_braces = true;
                out += "(?:";
            }
            '}' => {
                in_braces = false;
                out.push(')');
            }
            ',' if in_braces => out.push('|'),
            '!' if out.ends_with('[') => out.push('^'),
            c if c.is_alphanumeric() || c == '_' => out.push(c),
            c => out.extend(['\\', c]),
        }
    }
    out
}

/// One `module:instance:name:statistic`.
#[derive(Debug, Clone)]
pub struct Selector {
    /// Of the module.
    pub module: Pattern,
    /// Of the instance, in decimal digits.
    pub instance: Pattern,
    /// Of the name.
    pub name: Pattern,
    /// Of the statistic.
    pub statistic: Pattern,
}

impl Selector {
    /// Takes everything.
    pub const ANY: Selector = Selector {
        module: Pattern::ANY,
        instance: Pattern::ANY,
        name: Pattern::ANY,
        statistic: Pattern::ANY,
    };

    /// What was typed: up to four parts with colons between them.
    ///
    /// # Errors
    /// [`Failure`] if there are more parts, or one is no pattern.
    pub fn read(text: &str) -> Result<Selector, Failure> {
        let parts = text.split(':').map(Pattern::read).collect::<Result<Vec<_>, _>>()?;
        if parts.len() > 4 {
            return Err(Failure::new(format!("`{text}` has more than module:instance:name:statistic")));
        }
        let mut parts = parts.into_iter();
        let mut next = || parts.next().unwrap_or(Pattern::ANY);
        Ok(Selector { module: next(), instance: next(), name: next(), statistic: next() })
    }

    /// True if it asks for something of this kstat.
    pub fn takes(&self, of: &Kstat) -> bool {
        self.module.takes(of.module)
            && self.instance.takes(&of.instance.to_string())
            && self.name.takes(&of.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_takes_the_whole_text_and_a_regex_a_part() {
        let takes = |pattern: &str, text: &str| Pattern::read(pattern).expect("a pattern").takes(text);
        assert!(takes("cpu", "cpu") && !takes("cpu", "cpu_info"));
        assert!(
            takes("cpu*", "cpu_info") && takes("cpu_info?", "cpu_info3") && !takes("cpu_info?", "cpu_info13")
        );
        assert!(takes("[0-2]", "1") && !takes("[0-2]", "3") && takes("[!0-2]", "3"));
        assert!(takes("{sys,vm}", "vm") && !takes("{sys,vm}", "intrstat"));
        assert!(takes("/^cpu_nsec/", "cpu_nsec_idle") && takes("/idle/", "cpu_nsec_idle"));
        assert!(takes("level-1-time", "level-1-time") && !takes("a.c", "abc"));
        assert!(takes("", "anything"));
    }

    #[test]
    fn selector_has_four_parts_at_most() {
        assert!(Selector::read("cpu:0:sys:pswitch").is_ok());
        assert!(Selector::read("a:b:c:d:e").is_err());
        assert!(Selector::read("/(/").is_err());
    }
}
