//! The default filter, as build.rs compiled it, in the words of C: for the floor.

#[allow(non_camel_case_types)]
struct sock_filter {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

include!(concat!(env!("OUT_DIR"), "/filter.rs"));

pub fn header() -> String {
    DEFAULT.iter().map(|sock_filter { code, jt, jf, k }| format!("{{{code}, {jt}, {jf}, {k:#x}}},\n")).collect()
}
