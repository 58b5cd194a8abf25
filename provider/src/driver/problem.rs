//! Failures of drivers as problems, for whoever reads a plan or an apply.

use std::io::ErrorKind;

use value::Problem;

use super::DriverError;

/// A failure of a driver as a problem: what happened and where.
pub fn driver_problem(what: &str, error: &DriverError) -> Problem {
    let summary = match error {
        DriverError::MissingProgram { .. } => "a program is missing",
        DriverError::Check { .. } => "configuration refused",
        DriverError::Start { .. } => "a service did not start",
        DriverError::NoSuchMachine(_) => "a machine is gone",
        DriverError::Api { .. } => "the cloud refused",
        DriverError::Unreachable { .. } => "the cloud does not answer",
        DriverError::Quota { .. } => "a quota is used up",
        DriverError::NoSuchOffer { .. } => "the cloud does not have it",
        DriverError::Ssh { .. } => "the machine could not be reached",
        DriverError::Untrusted { .. } => "the machine could not be trusted",
        DriverError::Taken { .. } | DriverError::Foreign { .. } => "the machines of another stack",
        DriverError::Machine { .. } => "a machine could not do it",
        DriverError::Boot { .. } => "a machine did not come up",
        DriverError::NoAddress { .. } => "no address is free",
        DriverError::Io { source, .. } => match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                "there is no room on the disk"
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "access was denied",
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof => "the machine could not be reached",
            _ => "work on a file failed",
        },
        DriverError::Setting { .. } => "invalid cloud setting",
    };
    Problem::error(summary, format!("{what}: {}", error.explain()))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_failure_of_the_disk_is_no_failure_of_the_network() {
        let summary = |code| {
            let source = std::io::Error::from_raw_os_error(code);
            driver_problem("x", &DriverError::Io { what: "writing", path: "/y".to_owned(), source }).summary
        };
        let errors = [Errno::NOSPC, Errno::DQUOT, Errno::ACCESS, Errno::ROFS, Errno::CONNREFUSED, Errno::NOENT];
        assert_eq!(
            errors.map(|error| summary(error.raw_os_error())),
            [
                "there is no room on the disk",
                "there is no room on the disk",
                "access was denied",
                "access was denied",
                "the machine could not be reached",
                "work on a file failed",
            ]
        );
    }
}
