//! Values by a path or a name, in the order of its bytes: one kind of tree for all that
//! the plan looks up, for each kind is code of its own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// Values by name. Comparing paths name by name takes longer than all the rest.
#[derive(Debug)]
pub struct Index<V> {
    /// Where in `values`.
    places: BTreeMap<OsString, usize>,
    values: Vec<V>,
}

impl<V> Index<V> {
    /// None yet.
    pub const fn new() -> Self {
        Self { places: BTreeMap::new(), values: Vec::new() }
    }

    /// The value of `name`.
    pub fn get(&self, name: impl AsRef<OsStr>) -> Option<&V> {
        self.values.get(place(&self.places, name.as_ref())?)
    }

    /// Is there one?
    pub fn has(&self, name: impl AsRef<OsStr>) -> bool {
        place(&self.places, name.as_ref()).is_some()
    }

    /// Gives `name` this value, whatever it had; was there none?
    pub fn set(&mut self, name: impl Into<OsString>, value: V) -> bool {
        let (at, new) = (self.values.len(), name.into());
        match place(&self.places, &new) {
            None => {
                put(&mut self.places, new, at);
                self.values.push(value);
                true
            }
            Some(at) => {
                self.values[at] = value;
                false
            }
        }
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&OsString, &V)> {
        self.places.iter().map(|(name, at)| (name, &self.values[*at]))
    }
}

fn place(places: &BTreeMap<OsString, usize>, name: &OsStr) -> Option<usize> {
    places.get(name).copied()
}

fn put(places: &mut BTreeMap<OsString, usize>, name: OsString, at: usize) {
    places.insert(name, at);
}
