//! What the language means, by example; most lines are those of the articles that the facts name.
//!
//! # Invariants
//! - Compiled for tests only.

use super::*;

/// A meaning with a few names: dot is 0x10, memory holds its own addresses.
struct Few;

impl Meaning for Few {
    fn dot(&self) -> u64 {
        0x10
    }

    fn symbol(&self, name: &str) -> Result<u64, Failure> {
        match name {
            "kpreemptpri" => Ok(0x1000),
            "add" => Ok(0x2000),
            _ => Err(Failure::new("failed to dereference symbol: unknown symbol name")),
        }
    }

    fn variable(&self, name: &str) -> Option<u64> {
        (name == "v").then_some(7)
    }

    fn fetch(&self, addr: u64, width: Width) -> Result<u64, Failure> {
        match addr {
            0 => Err(Failure::new("failed to read data from target")),
            addr => Ok(width.cut(addr)),
        }
    }

    fn fetch_object(&self, addr: u64, width: Width) -> Result<u64, Failure> {
        self.fetch(addr, width)
    }
}

fn one(text: &str) -> Statement {
    let mut all = parse(text).unwrap_or_else(|e| panic!("{}", e.told(text)));
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn value(text: &str) -> Result<u64, Failure> {
    evaluate(&one(text).addr.expect("an expression"), &Few)
}

#[track_caller]
fn worth(text: &str, expect: u64) {
    assert_eq!(value(text), Ok(expect), "{text}");
}

#[track_caller]
fn refused(text: &str, expect: &str) {
    let failure = match parse(text) {
        Ok(all) => all.iter().find_map(|s| evaluate(s.addr.as_ref()?, &Few).err()).expect("a failure"),
        Err(failure) => failure,
    };
    assert_eq!(failure.told(text), expect);
}

#[test]
fn number_is_of_base_16_unless_a_prefix_says_otherwise() {
    worth("10", 16);
    worth("0t10", 10);
    worth("0x10", 16);
    worth("0o17", 15);
    worth("0i101", 5);
    worth("ffffff01dde41b90", 0xffff_ff01_dde4_1b90);
    worth("0t1.5", 1.5_f64.to_bits());
    worth("'ab'", 0x6162);
}

#[test]
fn number_that_is_also_a_symbol_is_the_symbol() {
    worth("add", 0x2000);
    worth("0add", 0xadd);
    worth("adc", 0xadc);
}

#[test]
fn operators_bind_as_in_the_grammar_and_to_the_left() {
    worth("1+2*3", 7);
    worth("(1+2)*3", 9);
    worth("0t10-3-2", 5);
    worth("1|2^3&1", 3);
    worth("1<<4+1", 32);
    worth("1+1==2", 1);
    worth("1!=1", 0);
    worth("-8%2", (-4_i64) as u64);
    worth("0t17%%5", 2);
    worth("0t10*0t17%%5", 20);
    worth("9#8", 16);
    worth("#0", 1);
    worth("~0", u64::MAX);
    worth("1<<40", 0);
}

#[test]
fn names_and_memory_have_values() {
    worth(".", 0x10);
    worth(".+1", 0x11);
    worth("<v", 7);
    worth("*kpreemptpri", 0x1000);
    worth("*/c/1234", 0x34);
    worth("%/i/kpreemptpri", 0x1000);
    worth("**kpreemptpri+-1", 0xfff);
}

#[test]
fn failure_points_at_its_place() {
    refused("1+nosuch", "mdb: failed to dereference symbol: unknown symbol name\n  1+nosuch\n    ^^^^^^");
    refused("  2*<w", "mdb: variable 'w' is not defined\n    2*<w\n      ^^");
    refused("1%0", "mdb: divide by zero\n  1%0\n   ^");
    refused("*0", "mdb: failed to read data from target\n  *0\n  ^");
    refused("(1+2", "mdb: syntax error: expected `)`, found the end of the line\n  (1+2\n      ^");
    refused("12xyz", "mdb: `12xyz` is not a number of base 16 that 64 bits hold\n  12xyz\n  ^^^^^");
    refused("1;2\n::print $[1", "mdb: syntax error: unmatched `$[`\n  ::print $[1\n          ^^");
    refused("::print \"a", "mdb: syntax error: unmatched `\"`\n  ::print \"a\n          ^");
    refused(
        "1 2",
        "mdb: syntax error: expected a command or the end of the statement, found `2`\n  1 2\n    ^",
    );
    refused(
        "::walk cpu |",
        "mdb: syntax error: expected a command behind the pipe, found the end of the line\n  ::walk cpu |\n              ^",
    );
}

#[test]
fn nesting_without_bound_is_refused() {
    assert!(parse(&"(".repeat(100_000)).is_err());
    assert!(parse(&"*".repeat(100_000)).is_err());
}

/// The names and arguments of a pipeline.
fn words(statement: &Statement) -> Vec<String> {
    let of = |command: &Command| match &command.verb {
        Verb::Dcmd { name, args } => {
            let args = args.iter().map(|arg| arg.text.as_str());
            std::iter::once(name.as_str()).chain(args).collect::<Vec<_>>().join(" ")
        }
        Verb::Format { sigil, items, .. } => {
            let letters = items.iter().map(|item| item.letter);
            std::iter::once(*sigil).chain(letters).collect()
        }
        Verb::Assign { name, .. } => format!(">{name}"),
    };
    statement.pipeline.iter().map(of).collect()
}

#[test]
fn pipeline_of_the_report_is_read() {
    let statement = one("ffffff01d5a600c0::print kthread_t t_cldata | ::print -a tsproc_t ts_timeleft");
    assert_eq!(
        statement.addr,
        Some(Expr::Symbol {
            name: "ffffff01d5a600c0".into(),
            number: Some(0xffff_ff01_d5a6_00c0),
            at: 0..16
        })
    );
    assert_eq!(words(&statement), ["print kthread_t t_cldata", "print -a tsproc_t ts_timeleft"]);
}

#[test]
fn address_and_count_and_formats_are_read() {
    let statement = one("ffffff01dde41b90,3/2XnD");
    assert_eq!(words(&statement), ["/XnD"]);
    assert_eq!(statement.count, Some(Expr::Number(3)));
    assert_eq!(words(&one("kpreemptpri/W 0t99")), ["/W"]);
    let Verb::Format { values, .. } = &one("kpreemptpri/W 0t99").pipeline[0].verb else { panic!("a format") };
    assert_eq!(values, &[Expr::Number(99)]);
    assert_eq!(words(&one("::walk thread | /s")), ["walk thread", "/s"]);
    assert_eq!(words(&one(".=K")), ["=K"]);
    assert_eq!(words(&one("1==2=D")), ["=D"]);
    assert_eq!(words(&one("$c")), ["$c"]);
    assert_eq!(words(&one("10>v")), [">v"]);
}

#[test]
fn arguments_are_quoted_and_glued() {
    assert_eq!(words(&one(r#"::eval 'a|b;c' "x\ty"z"#)), ["eval a|b;c x\tyz"]);
    assert_eq!(words(&one("::grep .!=0 | ::eval .")), ["grep .!=0", "eval ."]);
}

#[test]
fn shell_takes_the_rest_of_the_line() {
    let statement = one("::mblk -l 0t1 ! wc -l | cat");
    assert_eq!(statement.shell.as_deref(), Some("wc -l | cat"));
    let both = parse("! true; ::status").expect("two statements");
    assert_eq!(both.len(), 2);
    assert!(both[0].pipeline.is_empty() && both[0].addr.is_none());
}

#[test]
fn comments_and_blank_lines_are_nothing() {
    assert_eq!(parse("// a comment\n\n ; \n").expect("nothing"), []);
    assert_eq!(words(&one("::status // as it is")), ["status"]);
}
