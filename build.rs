//! Compiles the default system-call policy, so that a launch need not, and what other
//! policies make of arguments.

use std::fmt::Write as _;
use std::path::Path;

use seccompiler::sock_filter;

#[allow(dead_code)]
#[path = "src/fakeroot.rs"]
mod fakeroot;
#[path = "src/leaf.rs"]
mod leaf;
#[allow(dead_code)]
#[path = "src/seccomp.rs"]
mod seccomp;
#[allow(dead_code)]
#[path = "src/syscalls.rs"]
mod syscalls;

fn main() {
    for file in ["build.rs", "src/fakeroot.rs", "src/leaf.rs", "src/seccomp.rs", "src/syscalls.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => syscalls::Arch::X86_64,
        Ok("aarch64") => syscalls::Arch::Aarch64,
        other => panic!("src/syscalls.rs has no system-call numbers of {other:?}"),
    };
    let limits = |number, limit| Some(leaf::leaf(arch, number, limit).expect("each limit compiles"));
    let program = seccomp::compile(arch, |call| seccomp::treatment(call, 0), &limits).expect("the default policy compiles");
    let default = format!("static DEFAULT: [sock_filter; {}] = [{}];\n", program.len(), written(&program));
    let mut limited = String::from("static LIMITED: &[(u32, Limit, &[sock_filter])] = &[\n");
    for (number, limit) in leaf::all(arch) {
        let leaf = limits(number, limit).unwrap_or_default();
        writeln!(limited, "({number}, Limit::{limit:?}, &[{}]),", written(&leaf)).expect("memory takes it");
    }
    limited.push_str("];\n");
    let dir = std::env::var_os("OUT_DIR").expect("cargo sets it");
    for (file, text) in [("filter.rs", default), ("limited.rs", limited)] {
        std::fs::write(Path::new(&dir).join(file), text).expect("write what was compiled");
    }
}

/// Instructions as source text.
fn written(program: &[sock_filter]) -> String {
    let each = program
        .iter()
        .map(|sock_filter { code, jt, jf, k }| format!("    sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k:#x} }},\n"));
    each.collect()
}
