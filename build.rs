//! Compiles the default system-call policy, so that a launch need not.

use std::fmt::Write as _;
use std::path::Path;

#[allow(dead_code)]
#[path = "src/fakeroot.rs"]
mod fakeroot;
#[allow(dead_code)]
#[path = "src/seccomp.rs"]
mod seccomp;
#[allow(dead_code)]
#[path = "src/syscalls.rs"]
mod syscalls;

fn main() {
    for file in ["build.rs", "src/fakeroot.rs", "src/seccomp.rs", "src/syscalls.rs"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => syscalls::Arch::X86_64,
        Ok("aarch64") => syscalls::Arch::Aarch64,
        other => panic!("src/syscalls.rs has no system-call numbers of {other:?}"),
    };
    let program = seccomp::compile(arch, |call| seccomp::treatment(call, 0)).expect("the default policy compiles");
    let mut text = format!("static DEFAULT: [sock_filter; {}] = [\n", program.len());
    for seccompiler::sock_filter { code, jt, jf, k } in program {
        writeln!(text, "    sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k:#x} }},").expect("memory takes it");
    }
    text.push_str("];\n");
    let dir = std::env::var_os("OUT_DIR").expect("cargo sets it");
    std::fs::write(Path::new(&dir).join("filter.rs"), text).expect("write the compiled policy");
}
