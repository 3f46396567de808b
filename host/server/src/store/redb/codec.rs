//! Rows as bytes: one version byte, then MessagePack with named fields.
//!
//! A field may be added with a serde default; anything else is a new version, which older programs refuse.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::table::Table;
use crate::store::StoreFailure;

/// The row format that this program writes, and the only one that it reads.
const ROW_VERSION: u8 = 1;

/// Most rows are shorter: they are written without growing on the way.
const ROW_BYTES: usize = 512;

pub(super) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreFailure> {
    encode_behind(&[], row)
}

/// The row behind other bytes.
pub(super) fn encode_behind<T: Serialize>(head: &[u8], row: &T) -> Result<Vec<u8>, StoreFailure> {
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    bytes.extend_from_slice(head);
    bytes.push(ROW_VERSION);
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    // Only a type that MessagePack has no form for fails: refused before anything is stored.
    row.serialize(&mut serializer)
        .map_err(|error| StoreFailure::Corrupt(format!("a row cannot be encoded: {error}")))?;
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(table: Table, key: &[u8], bytes: &[u8]) -> Result<T, StoreFailure> {
    match bytes.split_first() {
        Some((&ROW_VERSION, row)) => rmp_serde::from_slice(row)
            .map_err(|error| corrupt(table, key, format_args!("it does not decode: {error}"))),
        Some((version, _)) => Err(corrupt(
            table,
            key,
            format_args!("its format is {version}, and this program knows {ROW_VERSION}"),
        )),
        None => Err(corrupt(table, key, format_args!("it is empty"))),
    }
}

/// A row that is not what was written, named by its place.
pub(super) fn corrupt(table: Table, key: &[u8], what: std::fmt::Arguments<'_>) -> StoreFailure {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    StoreFailure::Corrupt(format!("table {}, key {key}: {what}", table.name()))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeZone, Utc};
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_instants_come_back_exactly() {
        let value = json!({"a": [1, -1, 0.5, 1.0, u64::MAX, i64::MIN, null, true, "é\u{0}"], "b": {}});
        let at = Utc.timestamp_opt(1_795_000_000, 123_456_789).single().expect("a valid instant");
        let bytes = encode(&(value.clone(), at)).expect("encodes");
        let back: (serde_json::Value, DateTime<Utc>) = decode(Table::Spec, b"k", &bytes).expect("decodes");
        assert_eq!(back, (value, at));
    }

    #[test]
    fn another_version_and_a_torn_row_name_table_and_key() {
        let unknown = decode::<u32>(Table::Spec, &[0xAB], &[9, 0]).expect_err("unknown version");
        assert_eq!(
            unknown.to_string(),
            "the store is corrupt: table spec, key ab: its format is 9, and this program knows 1; restore a backup or \
             run the check"
        );
        for torn in [&[][..], &[ROW_VERSION][..], &[ROW_VERSION, 0xC1][..]] {
            let failure = decode::<u32>(Table::Spec, &[0xAB], torn).expect_err("torn");
            assert!(failure.to_string().contains("table spec, key ab"), "{failure}");
        }
    }
}
