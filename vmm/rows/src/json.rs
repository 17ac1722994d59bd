//! Rows as machines read them: one JSON object a line, the schema first.
//!
//! # Invariants
//! - Keys go out in the order of the columns; they and their order are a contract.
//! - Numbers are numbers in the unit that the key ends with; what is absent is null, or its key is not there.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Table, Value};

/// The line of one row, without a newline.
pub fn line<R>(table: &Table<R>, of: &R) -> String {
    let record = Value::Record(table.record(of));
    serde_json::to_string(&record).expect("invariant: values of strings, numbers and lists become JSON")
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Absent => to.serialize_none(),
            Value::Text(text) => to.serialize_str(text),
            Value::Int(number) => to.serialize_u64(*number),
            Value::Signed(number) => to.serialize_i64(*number),
            Value::Float(number) => to.serialize_f64(*number),
            Value::Flag(flag) => to.serialize_bool(*flag),
            Value::List(values) => to.collect_seq(values),
            Value::Record(fields) => {
                let mut map = to.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Value::Later(later) => later.made().serialize(to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, Kind};

    #[test]
    fn line_has_the_schema_first_and_the_keys_in_the_order_of_the_columns() {
        let inner = Table::nested(vec![Column::new("at_ns", Kind::Ns, |n: &u64| *n)]);
        let table = Table::new(
            "umpire.test/1",
            vec![
                Column::new("z", Kind::Text, |_: &u64| "a \"b\"\n").titled("Z", 3),
                Column::derived("z", Kind::Text, |_: &u64| "only for people").titled("MORE", 3),
                Column::new("a", Kind::Measured, |n: &u64| *n as f64 / 2.0),
                Column::new("none", Kind::Count, |_: &u64| None::<u64>),
                Column::new("seed", Kind::Count, |n: &u64| Some(*n).filter(|n| *n > 3)).left_out_if_absent(),
                Column::new("rows", Kind::Nested, move |n: &u64| inner.records([n])),
            ],
        );
        let expected =
            r#"{"schema":"umpire.test/1","z":"a \"b\"\n","a":1.5,"none":null,"rows":[{"at_ns":3}]}"#;
        assert_eq!(line(&table, &3), expected);
        assert!(line(&table, &4).contains(r#""a":2.0,"none":null,"seed":4,"rows""#));
        assert!(table.faults().is_empty());
    }
}
