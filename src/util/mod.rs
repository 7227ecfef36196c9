//! String, path and collection helpers; touch it freely, it may know nothing of jails, and std must not have it.

pub mod name_map;
pub mod text;
pub mod units;
