//! `--markdown FILE`: a summary for what shows GitHub-flavoured Markdown, as a CI's page of a run does.
//!
//! # Invariants
//! - What a scenario calls its things is text: it opens no tag and ends no cell.

use std::io::{self, Write};

use super::{Missing, OUTCOME, Results};
use umpire_referee::Outcome;

/// Writes it.
pub(super) fn write(results: &Results, out: &mut dyn Write) -> io::Result<()> {
    let Results { runs, missing } = results;
    writeln!(out, "## umpire: {}\n", results.told())?;
    writeln!(out, "| scenario | variant | expect | observed | outcome | worst / limit | steal |")?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for told in runs {
        let sign = match told.report.outcome {
            Outcome::Pass => ":white_check_mark:",
            Outcome::Inconclusive => ":grey_question:",
            Outcome::Fail | Outcome::Error => ":x:",
        };
        let mut cells = told.cells();
        cells[OUTCOME] = format!("{sign} {}", cells[OUTCOME]);
        writeln!(out, "| {} |", cells.map(|text| cell(&text)).join(" | "))?;
    }
    for Missing { title, why } in missing {
        writeln!(out, "| {} |  |  |  | :x: not run: {} |  |  |", cell(title), cell(why))?;
    }
    for told in runs.iter().filter(|told| !told.details.is_empty()) {
        let fence = fence(&told.details);
        let title = cell(&told.title);
        writeln!(
            out,
            "\n<details><summary>{title}</summary>\n\n{fence}text\n{}\n{fence}\n",
            told.details.trim_end()
        )?;
        writeln!(out, "`{}`\n\n</details>", told.report.repeat.replace('`', "'"))?;
    }
    Ok(())
}

/// The text of a cell.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => escaped.push_str("\\|"),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\n' | '\r' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// More backquotes than the text has in a row.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}
