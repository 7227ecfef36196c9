//! Patterns with `*` and `?`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Does `name` match `glob`, where `*` is any run of bytes and `?` any one?
pub fn glob_matches(glob: &OsStr, name: &OsStr) -> bool {
    let (glob, name) = (glob.as_bytes(), name.as_bytes());
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                g += 1;
                n += 1;
            }
            Some(_) | None => match star {
                // Let the last star take one byte more.
                Some((at, from)) => {
                    g = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == b'*')
}
