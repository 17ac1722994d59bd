//! A call of a command: its address, its arguments, and its options read as `getopt` would.
//!
//! # Invariants
//! - An option or an argument that a command does not take is refused with the command's usage.

use umpire_watch::glass::Asking;

use crate::lang::{Failure, Span};

/// An argument, with the value of `$[expr]` worked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Its text.
    pub text: String,
    /// The value, if it was `$[expr]`.
    pub value: Option<u64>,
    /// True if a part of it was quoted: it is no option then.
    pub is_quoted: bool,
    /// Where it stands.
    pub at: Span,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Call<'c> {
    /// The address in front of the command or out of the pipe, if there is one.
    pub addr: Option<u64>,
    /// `.`: that address, or where the last command left it.
    pub dot: u64,
    /// The arguments.
    pub args: &'c [Word],
    /// Which call of the loop it is; 0 is the first.
    pub index: u64,
    /// The addresses out of the pipe, for a command that takes them all at once.
    pub piped: Option<&'c [u64]>,
    /// True if another command takes the rows.
    pub is_piped_out: bool,
    /// The command's usage, for failures.
    pub usage: &'c str,
}

/// The options of a call, and what is left of its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options<'c> {
    given: Vec<(char, Option<&'c Word>)>,
    /// The arguments behind the options.
    pub rest: &'c [Word],
}

impl Word {
    /// The number that it is: the value of `$[expr]`, or a number as the language has it, hexadecimal unless `0t` (decimal), `0o` or
    /// `0i` is in front.
    pub fn number(&self) -> Option<u64> {
        let (digits, radix) = match self.text.get(..2) {
            Some("0x") => (&self.text[2..], 16),
            Some("0t") => (&self.text[2..], 10),
            Some("0o") => (&self.text[2..], 8),
            Some("0i") => (&self.text[2..], 2),
            _ => (self.text.as_str(), 16),
        };
        self.value.or_else(|| u64::from_str_radix(digits, radix).ok())
    }
}

impl<'c> Call<'c> {
    /// The address.
    ///
    /// # Errors
    /// [`Failure`] with the usage if there is none.
    pub fn address(&self) -> Result<u64, Failure> {
        self.addr.ok_or_else(|| self.misused("it needs an address in front"))
    }

    /// Reads the options in front of the arguments: `letters` as for `getopt`, a colon behind the letter of one that takes an
    /// argument.
    ///
    /// # Errors
    /// [`Failure`] with the usage if one is not known, or lacks its argument.
    pub fn options(&self, letters: &str) -> Result<Options<'c>, Failure> {
        let (mut given, mut rest) = (Vec::new(), self.args);
        while let [word, behind @ ..] = rest {
            let Some(flags) = word.text.strip_prefix('-').filter(|f| !word.is_quoted && !f.is_empty()) else {
                break;
            };
            rest = behind;
            if flags == "-" {
                break;
            }
            for (n, flag) in flags.char_indices() {
                let known = letters.find(flag).filter(|_| flag != ':');
                let Some(known) = known else {
                    return Err(self.misused_at(&word.at, format!("illegal option -- {flag}")));
                };
                if !letters[known + 1..].starts_with(':') {
                    given.push((flag, None));
                    continue;
                }
                let is_last = n + flag.len_utf8() == flags.len();
                let [argument, behind @ ..] = rest else {
                    return Err(self.misused_at(&word.at, format!("option requires an argument -- {flag}")));
                };
                if !is_last {
                    return Err(
                        self.misused_at(&word.at, format!("put a blank between -{flag} and its argument"))
                    );
                }
                given.push((flag, Some(argument)));
                rest = behind;
            }
        }
        Ok(Options { given, rest })
    }

    /// Refuses every argument.
    ///
    /// # Errors
    /// [`Failure`] with the usage if there is one.
    pub fn no_arguments(&self) -> Result<(), Failure> {
        self.options("").and_then(|options| options.none_left(self))
    }

    /// A failure of whoever called, with the usage.
    pub fn misused(&self, what: impl AsRef<str>) -> Failure {
        Failure::new(format!("{}\nUsage: {}", what.as_ref(), self.usage))
    }

    /// The same, blamed on an argument.
    pub fn misused_at(&self, at: &Span, what: impl AsRef<str>) -> Failure {
        self.misused(what).or_at(at)
    }
}

impl<'c> Options<'c> {
    /// True if an option was given.
    pub fn has(&self, flag: char) -> bool {
        self.given.iter().any(|(given, _)| *given == flag)
    }

    /// Which CPUs may be asked where they are: those that run only with `-k`.
    pub fn whom(&self) -> Asking {
        if self.has('k') { Asking::Running } else { Asking::Still }
    }

    /// The argument of an option, if it was given; the last one counts.
    pub fn argument(&self, flag: char) -> Option<&'c Word> {
        self.given.iter().rev().find(|(given, _)| *given == flag).and_then(|(_, argument)| *argument)
    }

    /// Refuses what is left of the arguments.
    ///
    /// # Errors
    /// [`Failure`] with the usage if anything is.
    pub fn none_left(&self, call: &Call<'_>) -> Result<(), Failure> {
        match self.rest {
            [] => Ok(()),
            [first, ..] => Err(call.misused_at(&first.at, format!("unexpected argument `{}`", first.text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Word> {
        let word = |text: &str| Word { text: text.to_owned(), value: None, is_quoted: false, at: 0..1 };
        text.split_whitespace().map(word).collect()
    }

    fn read(text: &str, check: impl Fn(Result<Options<'_>, Failure>)) {
        let args = words(text);
        let call = Call {
            addr: None,
            dot: 0,
            args: &args,
            index: 0,
            piped: None,
            is_piped_out: false,
            usage: "[ addr ] ::x [-ab] [-c n]",
        };
        check(call.options("abc:"));
    }

    #[test]
    fn word_is_a_number_as_the_language_has_it() {
        let number = |text: &str| words(text)[0].number();
        assert_eq!(number("10"), Some(16));
        assert_eq!(number("0t10"), Some(10));
        assert_eq!(number("0x10"), Some(16));
        assert_eq!(number("0o10"), Some(8));
        assert_eq!(number("0i10"), Some(2));
        assert_eq!(number("lots"), None);
        let computed = Word { value: Some(7), ..words("$[3+4]")[0].clone() };
        assert_eq!(computed.number(), Some(7));
    }

    #[test]
    fn options_are_read_up_to_the_first_argument() {
        read("-ab -c 5 type -a", |options| {
            let options = options.expect("options");
            assert!(options.has('a') && options.has('b') && options.has('c'));
            assert_eq!(options.argument('c').map(|w| w.text.as_str()), Some("5"));
            assert_eq!(options.rest.len(), 2);
        });
        read("-a -- -b", |options| {
            let options = options.expect("options");
            assert!(!options.has('b') && options.rest.len() == 1);
        });
    }

    #[test]
    fn option_that_is_not_known_is_refused_with_the_usage() {
        read("-z", |options| {
            let message = options.expect_err("no such option").message;
            assert_eq!(message, "illegal option -- z\nUsage: [ addr ] ::x [-ab] [-c n]");
        });
        read("-c", |options| assert!(options.is_err()));
        read("-:", |options| assert!(options.is_err()));
    }
}
