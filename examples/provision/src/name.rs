//! Names: of machines, and of what belongs to one task instance.

use sha2::{Digest, Sha256};
use windlass_plugin::Failure;

/// Leaves room for the rest in a file name of 255 bytes.
const MACHINE_LENGTH_MAX: usize = 64;
/// Hexadecimal digits of the key's hash: no two task instances of one machine have the same.
const MARK_LENGTH: usize = 16;

/// Checks the name of a machine, which becomes a part of file names.
pub fn check_machine(machine: &str) -> Result<(), Failure> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_name = machine.len() <= MACHINE_LENGTH_MAX
        && machine.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && machine.bytes().all(is_inner);
    if is_name {
        return Ok(());
    }
    let message = format!(
        "machine: {machine:?} is no name: use 1 to {MACHINE_LENGTH_MAX} letters, digits, `-` or `_`, and begin with \
         a letter or digit"
    );
    Err(Failure::reject("input.invalid", message))
}

/// What tells the files of one task instance from those of others: the same in every attempt. A key may be any text, a
/// file name may not.
pub fn mark(key: &str) -> String {
    let hash = Sha256::digest(key);
    let mut mark: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    mark.truncate(MARK_LENGTH);
    mark
}
