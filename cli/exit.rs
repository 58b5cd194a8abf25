//! Exit codes, those of Terraform.

pub(crate) const SUCCESS: u8 = 0;
pub(crate) const FAILURE: u8 = 1;
/// `plan -detailed-exitcode` with changes.
pub(crate) const CHANGES: u8 = 2;
