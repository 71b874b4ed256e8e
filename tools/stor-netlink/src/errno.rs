// SPDX-License-Identifier: GPL-2.0

//! Names of error numbers.

use nix::errno::Errno;

/// The symbolic name of an error number, as in `EINVAL`; `errno 600` for one without a name.
pub fn errno_name(errno: i32) -> String {
    match Errno::from_raw(errno) {
        Errno::UnknownErrno => format!("errno {errno}"),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::errno_name;
    use pretty_assertions::assert_eq;

    #[test]
    fn names() {
        assert_eq!(errno_name(22), "EINVAL");
        assert_eq!(errno_name(16), "EBUSY");
        assert_eq!(errno_name(524), "errno 524");
    }
}
