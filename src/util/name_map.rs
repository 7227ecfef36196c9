//! Values by a path or a name: one kind of table for all that the plan looks up, for each
//! kind is code of its own.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Values by name. Comparing paths name by name takes longer than all the rest.
#[derive(Debug)]
pub struct Index<V> {
    names: Names,
    /// In the order of `names`.
    values: Vec<V>,
}

/// Which names there are, in the order they came.
#[derive(Debug)]
struct Names {
    names: Vec<OsString>,
    /// Where a name is in `names`, and 1 more; 0 is no name. It is at the place that its
    /// bytes say, or in the first free one behind. At most half of the places are taken;
    /// they are none, or a power of two.
    places: Vec<u32>,
}

impl<V> Index<V> {
    /// None yet.
    pub const fn new() -> Self {
        Self { names: Names { names: Vec::new(), places: Vec::new() }, values: Vec::new() }
    }

    /// The value of `name`.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&V> {
        self.values.get(self.names.find(name.as_ref())?)
    }

    /// Is there one?
    pub fn has(&self, name: impl AsRef<OsStr>) -> bool {
        self.names.find(name.as_ref()).is_some()
    }

    /// Gives `name` this value, whatever it had; was there none?
    pub fn set(&mut self, name: impl Into<OsString>, value: V) -> bool {
        let new = name.into();
        match self.names.find(&new) {
            None => {
                self.names.add(new);
                self.values.push(value);
                true
            }
            Some(at) => {
                self.values[at] = value;
                false
            }
        }
    }

    /// Each, in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = (&OsString, &V)> {
        self.names.names.iter().zip(&self.values)
    }
}

impl Names {
    fn find(&self, name: &OsStr) -> Option<usize> {
        match self.places.get(self.place(name)) {
            None | Some(0) => None,
            Some(at) => Some(*at as usize - 1),
        }
    }

    /// The place of `name`, or the free one that it would get.
    fn place(&self, name: &OsStr) -> usize {
        // A prime number for each byte: FNV-1a. The names are the caller's own, and who
        // finds such as share a place makes their own launch slow.
        let sum = name
            .as_bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
        let last = self.places.len().wrapping_sub(1);
        let mut place = (sum ^ sum >> 32) as usize & last;
        while let Some(at @ 1..) = self.places.get(place) {
            if self.names[*at as usize - 1] == *name {
                break;
            }
            place = (place + 1) & last;
        }
        place
    }

    /// Adds one that is not there.
    fn add(&mut self, name: OsString) {
        if self.places.len() < 2 * (self.names.len() + 1) {
            self.places = vec![0; (4 * self.names.len()).max(16)];
            for at in 0..self.names.len() {
                let place = self.place(&self.names[at]);
                self.places[place] = at as u32 + 1;
            }
        }
        let place = self.place(&name);
        self.names.push(name);
        self.places[place] = self.names.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_value_however_many_there_are() {
        let mut index = Index::new();
        assert!(!index.has("name 0"));
        for at in 0..5000 {
            assert!(index.set(format!("name {at}"), at), "{at} is new");
            assert!(!index.has(format!("name {}", at + 1)));
        }
        assert!(!index.set("name 7", 70));
        assert_eq!(
            (index.get("name 7"), index.get("name 4999"), index.get("name"), index.get("")),
            (Some(&70), Some(&4999), None, None)
        );
        assert!(index.iter().map(|(_, at)| *at).eq((0..5000).map(|at| if at == 7 { 70 } else { at })));
    }
}
