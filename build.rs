//! Compiles the default system-call policy, so that a launch need not, and what other
//! policies make of arguments.

use std::fmt::Write as _;
use std::path::Path;

use seccompiler::sock_filter;

#[allow(dead_code)]
#[path = "src/seccomp/policy/mod.rs"]
mod policy;
use policy::{arg_rules, bpf, defaults, table};

fn main() {
    for file in ["build.rs", "src/seccomp/policy"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let arch = match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("x86_64") => table::Arch::X86_64,
        Ok("aarch64") => table::Arch::Aarch64,
        other => panic!("src/seccomp/policy/table.rs has no system-call numbers of {other:?}"),
    };
    let limits = |limit| Some(arg_rules::leaf(limit).expect("each limit compiles"));
    let policy = |name, powers| {
        let program = bpf::compile(arch, |call| defaults::treatment(call, powers), &limits).expect("the policy compiles");
        let program = arg_rules::shorter(&program);
        format!("static {name}: [sock_filter; {}] = [{}];\n", program.len(), written(&program))
    };
    let (default, set_id) = (policy("DEFAULT", 0), policy("DEFAULT_WITH_SET_ID", table::SET_ID));
    let mut limited = String::from("static LIMITED: &[(Limit, &[sock_filter])] = &[\n");
    for limit in arg_rules::all() {
        let leaf = limits(limit).unwrap_or_default();
        writeln!(limited, "(Limit::{limit:?}, &[{}]),", written(&leaf)).expect("memory takes it");
    }
    limited.push_str("];\n");
    let dir = std::env::var_os("OUT_DIR").expect("cargo sets it");
    for (file, text) in [("filter.rs", default), ("set_id.rs", set_id), ("limited.rs", limited)] {
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
