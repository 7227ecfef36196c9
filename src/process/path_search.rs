//! Where a program may lie.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::error::{Error, c_string};

/// Where the command may lie inside, in the order to try.
///
/// # Errors
/// A NUL in it.
pub fn candidates(command: &OsStr, env: &[(OsString, OsString)]) -> Result<Vec<CString>, Error> {
    if command.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(command)?]);
    }
    let path = env.iter().find(|(name, _)| name == "PATH").map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |(_, v)| v);
    path.as_bytes()
        .split(|b| *b == b':')
        .map(|dir| {
            let mut whole = if dir.is_empty() { b".".to_vec() } else { dir.to_vec() };
            whole.push(b'/');
            whole.extend_from_slice(command.as_bytes());
            c_string(&OsString::from_vec(whole))
        })
        .collect()
}
