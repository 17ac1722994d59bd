//! Where gdb is to find a machine: a socket of the file system, or a port of this host.
//!
//! # Invariants
//! - A port is one of the loopback's: nobody of another host reaches it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address that may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A socket in the directory of this user's sessions.
    Own,
    /// A socket at a path.
    Path(PathBuf),
    /// A port of the loopback; port 0 is any that is free.
    Port(SocketAddr),
}

/// What an address may look like.
const FORMS: &str = "it may be a path with a / in it, a port of this host like :1234, or 127.0.0.1:1234";

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if text.is_empty() {
            return Ok(Address::Own);
        }
        if text.contains('/') {
            return Ok(Address::Path(PathBuf::from(text.strip_prefix("unix:").unwrap_or(text))));
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text);
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port: u16 = port.parse().map_err(|_| format!("`{text}` is no address: {FORMS}"))?;
        let ip = match host.trim_start_matches('[').trim_end_matches(']') {
            "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| format!("`{host}` is no address of this host: {FORMS}"))?,
        };
        if !ip.is_loopback() {
            return Err(format!(
                "{ip} can be reached from other hosts, and whoever reaches gdb's port owns the guest: only the loopback is \
                 served; use 127.0.0.1:{port} here, and `ssh -L {port}:127.0.0.1:{port}` from afar"
            ));
        }
        Ok(Address::Port(SocketAddr::new(ip, port)))
    }
}

impl fmt::Display for Address {
    /// As gdb's `target remote` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Own => write!(f, "a socket of its own"),
            Address::Path(path) => write!(f, "{}", path.display()),
            Address::Port(port) => write!(f, "{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_a_path_or_a_port_of_the_loopback() {
        let port = |ip: &str| Address::Port(ip.parse().expect("an address"));
        for (text, address) in [
            ("", Address::Own),
            ("/tmp/x.gdb", Address::Path("/tmp/x.gdb".into())),
            ("unix:./x", Address::Path("./x".into())),
            ("1234", port("127.0.0.1:1234")),
            (":1234", port("127.0.0.1:1234")),
            ("localhost:1", port("127.0.0.1:1")),
            ("tcp:127.0.0.2:1", port("127.0.0.2:1")),
            ("[::1]:9", port("[::1]:9")),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn address_that_others_could_reach_or_that_is_none_is_refused_and_says_what_to_do() {
        for text in ["0.0.0.0:1234", "192.168.0.1:5", "[::]:1", "tcp:8.8.8.8:1"] {
            let said = text.parse::<Address>().expect_err("not the loopback");
            assert!(said.contains("other hosts") && said.contains("ssh -L"), "{said}");
        }
        for text in ["x", "host:1", ":99999", ":-1", "1.2.3:4"] {
            assert!(text.parse::<Address>().expect_err("none").contains("127.0.0.1:1234"), "{text}");
        }
    }
}
