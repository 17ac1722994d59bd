//! "Did you mean": the nearest of the names that would have been right.
//!
//! # Invariants
//! - What is suggested is one of the names given; a far-fetched one is never suggested.

/// The name most like `found`, if one is near enough to be a slip of the pen.
pub(super) fn nearest<'n>(found: &str, names: &[&'n str]) -> Option<&'n str> {
    // The comparison takes quadratic time; no real name is long, and a hostile one need not be compared.
    if found.len() > 100 {
        return None;
    }
    let folded = found.to_lowercase();
    let likeness = |name: &str| likeness(&folded, &name.to_lowercase());
    let best = names.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.8).then_some(best)
}

/// How much a name is like another, from 0 to 1. Two letters that changed places, or one that is missing, is a slip of the pen also
/// in a name so short that little else is left of it.
fn likeness(found: &str, name: &str) -> f64 {
    let is_slip = found.len() >= 3 && strsim::osa_distance(found, name) == 1;
    let slip = if is_slip { 0.9 } else { 0.0 };
    strsim::jaro_winkler(found, name).max(slip)
}

/// "; did you mean `x`?" if there is a near name, else nothing.
pub(super) fn hint(found: &str, names: &[&str]) -> String {
    nearest(found, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// "expected one of: a, b, c", cut when there are many.
pub(super) fn choices(names: &[&str]) -> String {
    const MANY: usize = 32;
    match names {
        [] => "there are none".to_owned(),
        [one] => format!("expected: {one}"),
        some if some.len() <= MANY => format!("expected one of: {}", some.join(", ")),
        many => format!("expected one of: {}, ... ({} in all)", many[..MANY].join(", "), many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_a_typo_is_the_name_meant() {
        assert_eq!(nearest("kpremptpri", &["hz", "kpreemptpri", "kpqpri"]), Some("kpreemptpri"));
        assert_eq!(nearest("ts", &["SYS", "TS"]), Some("TS"));
        assert_eq!(nearest("hgo", &["intr", "hog"]), Some("hog"));
    }

    #[test]
    fn nearest_of_something_else_is_nothing() {
        assert_eq!(nearest("banana", &["hz", "kpreemptpri"]), None);
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest(&"k".repeat(10_000), &["kpreemptpri"]), None);
    }

    #[test]
    fn choices_of_many_names_are_cut() {
        let names: Vec<String> = (0..100).map(|n| format!("n{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(choices(&names).ends_with("(100 in all)"));
    }
}
