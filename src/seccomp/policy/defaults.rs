//! The default action for each call.

use super::action::{ENOSYS, EPERM, Treatment};
use super::fakeroot;
use super::table::{CORE, Call, FAKEROOT, Limit, NESTED, NET_RAW, Powers, SET_ID, Verdict};

/// What the default policy makes of `call` for a command with these powers.
pub fn treatment(call: &Call, powers: Powers) -> Treatment {
    if let (true, Some(answer)) = (powers & FAKEROOT != 0, fakeroot::answer(call.name())) {
        return answer;
    }
    match call.verdict {
        Verdict::Out(but) | Verdict::Absent(but) if but & powers != 0 => Treatment::Allow,
        Verdict::Limited(Limit::Clone | Limit::Unshare) if powers & NESTED != 0 => Treatment::Allow,
        Verdict::Limited(Limit::Mode { .. } | Limit::Creation { .. }) if powers & SET_ID != 0 => Treatment::Allow,
        Verdict::Limited(Limit::NodeMode { mode }) => match (powers & SET_ID != 0, powers & NESTED != 0) {
            (false, false) => Treatment::Limit(Limit::NodeMode { mode }),
            (true, false) => Treatment::Limit(Limit::NoDevice { mode }),
            (false, true) => Treatment::Limit(Limit::Mode { mode }),
            (true, true) => Treatment::Allow,
        },
        Verdict::Limited(Limit::SetCore | Limit::PrlimitCore) if powers & CORE != 0 => Treatment::Allow,
        Verdict::Limited(Limit::Socket) if powers & NET_RAW != 0 => Treatment::Limit(Limit::RawSocket),
        Verdict::Limited(Limit::Keyctl) if powers & NESTED == 0 => Treatment::Refuse(EPERM),
        Verdict::In => Treatment::Allow,
        Verdict::Out(..) => Treatment::Refuse(EPERM),
        Verdict::Absent(..) => Treatment::Refuse(ENOSYS),
        Verdict::Limited(limit) => Treatment::Limit(limit),
    }
}
