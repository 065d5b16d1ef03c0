//! Who may connect: `loopback`, `subnet`, `any`, and networks by name of address.
//!
//! Neighbours on a directly connected network are other containers of the same compose file or pod network, and they
//! may send; the rest of the world never may unless it is listed. Therefore `subnet` leaves out every globally
//! routable address, however near: on a rented host the neighbours in the same public network are strangers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::value::Value;
use crate::settings;

settings! {
    /// Who may connect, to every listener that takes mail.
    pub struct Config {
        /// Who may send: `loopback`, `subnet` (non-public addresses of directly connected networks), addresses and networks such as `10.0.0.0/8`, or `any`.
        allowed_clients: ClientRules = "loopback,subnet",
        /// `yes` if everybody on public networks that `ALLOWED_CLIENTS` lists may send without a login or token: an open relay.
        allow_open_relay: bool = "no",
    }
}

/// Interfaces come and go with containers, so what they are connected to is asked again after this time.
const FRESH: Duration = Duration::from_secs(30);

/// The rules; cheap to clone.
#[derive(Clone)]
pub struct ClientRules {
    rules: Arc<[Rule]>,
    connected: Arc<Mutex<Connected>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Loopback,
    Subnet,
    Any,
    Network(Network),
}

impl Value for ClientRules {
    const EXPECTS: &'static str =
        "a list of `loopback`, `subnet`, addresses and networks such as `10.0.0.0/8,fd00::/8`, or the word `any`";

    fn parse(text: &str) -> Option<Self> {
        let rules = text.split(',').map(|part| parse_rule(part.trim())).collect::<Option<_>>()?;
        Some(Self { rules, connected: Arc::default() })
    }
}

fn parse_rule(text: &str) -> Option<Rule> {
    match text.to_ascii_lowercase().as_str() {
        "loopback" => Some(Rule::Loopback),
        "subnet" => Some(Rule::Subnet),
        "any" => Some(Rule::Any),
        network => Network::parse(network).map(Rule::Network),
    }
}

impl ClientRules {
    /// Whether a client at this address may send. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.rules.iter().any(|rule| match rule {
            Rule::Loopback => client.is_loopback(),
            Rule::Subnet => is_local_kind(client) && self.is_connected(client),
            Rule::Any => true,
            Rule::Network(network) => network.contains(client),
        })
    }

    /// Whether more of the public Internet is let in than single hosts that somebody has named.
    #[must_use]
    pub fn are_public(&self) -> bool {
        self.rules.iter().any(|rule| match rule {
            Rule::Loopback | Rule::Subnet => false,
            Rule::Any => true,
            Rule::Network(network) => network.is_public(),
        })
    }

    fn is_connected(&self, client: IpAddr) -> bool {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        connected.refresh();
        connected.networks.iter().any(|network| network.contains(client))
    }
}

/// The state of the network is not part of what was set.
impl fmt::Debug for ClientRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}

/// A network by its address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let prefix = prefix.map_or(Some(width), |prefix| prefix.parse().ok())?;
        Self { address, prefix }.canonical().filter(|_| prefix <= width)
    }

    /// `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
    fn canonical(self) -> Option<Self> {
        let address = self.address.to_canonical();
        let prefix = (self.prefix + width(address)).checked_sub(width(self.address))?;
        Some(Self { address, prefix })
    }

    /// Whether it reaches beyond the networks that are not routed on the Internet, and beyond one host.
    fn is_public(self) -> bool {
        let within = |local: &(IpAddr, u32)| {
            let local = Self { address: local.0, prefix: local.1 };
            self.prefix >= local.prefix && local.contains(self.address)
        };
        self.prefix < width(self.address) && !LOCAL_NETWORKS.iter().any(within)
    }

    fn contains(self, client: IpAddr) -> bool {
        let differing = match (self.address, client) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differing >= self.prefix
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

const fn v4(a: u8, b: u8, c: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, 0))
}

const fn v6(first: u16, second: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0))
}

/// Networks that are not routed on the Internet, and this host (the special-purpose registries of IANA).
const LOCAL_NETWORKS: [(IpAddr, u32); 14] = [
    (v4(10, 0, 0), 8),
    (v4(172, 16, 0), 12),
    (v4(192, 168, 0), 16),
    (v4(169, 254, 0), 16),
    (v4(100, 64, 0), 10),
    (v4(198, 18, 0), 15),
    (v4(192, 0, 2), 24),
    (v4(198, 51, 100), 24),
    (v4(203, 0, 113), 24),
    (v4(127, 0, 0), 8),
    (v6(0xfc00, 0), 7),
    (v6(0xfe80, 0), 10),
    (v6(0x2001, 0xdb8), 32),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// Whether an address is of a kind that is not routed on the Internet.
fn is_local_kind(address: IpAddr) -> bool {
    !address.is_loopback()
        && LOCAL_NETWORKS.iter().any(|&(network, prefix)| Network { address: network, prefix }.contains(address))
}

/// The networks that this host is directly connected to, as last read.
#[derive(Debug, Default)]
struct Connected {
    networks: Vec<Network>,
    read: Option<Instant>,
}

impl Connected {
    fn refresh(&mut self) {
        if self.read.is_some_and(|read| read.elapsed() < FRESH) {
            return;
        }
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (v4, v6) = (read("/proc/net/route"), read("/proc/net/if_inet6"));
        self.networks = v4.lines().filter_map(connected_v4).chain(v6.lines().filter_map(connected_v6)).collect();
        self.read = Some(Instant::now());
    }
}

/// A line of `/proc/net/route` that is up and has no gateway: `Iface Destination Gateway Flags RefCnt Use Metric Mask`,
/// numbers in hexadecimal, addresses in the host's own byte order.
fn connected_v4(line: &str) -> Option<Network> {
    const UP: u32 = 0x1;
    const GATEWAY: u32 = 0x2;
    let mut fields = line.split_ascii_whitespace();
    let mut field = |n| u32::from_str_radix(fields.nth(n)?, 16).ok();
    let (destination, _gateway, flags, mask) = (field(1)?, field(0)?, field(0)?, field(3)?);
    let address = |bits: u32| Ipv4Addr::from(bits.to_ne_bytes());
    // A point-to-point default route has no gateway either; it connects to everybody.
    let prefix = address(mask).to_bits().leading_ones();
    (flags & (UP | GATEWAY) == UP && prefix > 0).then(|| Network { address: address(destination).into(), prefix })
}

/// A line of `/proc/net/if_inet6`: `address index prefix scope flags name`, numbers in hexadecimal.
fn connected_v6(line: &str) -> Option<Network> {
    let mut fields = line.split_ascii_whitespace();
    let address = u128::from_str_radix(fields.next()?, 16).ok()?;
    let prefix = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    (1..=128).contains(&prefix).then(|| Network { address: Ipv6Addr::from_bits(address).into(), prefix })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rules for a host with the given interfaces.
    fn rules(text: &str, connected: &[&str]) -> ClientRules {
        let rules = ClientRules::parse(text).unwrap();
        let networks = connected.iter().map(|network| Network::parse(network).unwrap()).collect();
        *rules.connected.lock().unwrap() = Connected { networks, read: Some(Instant::now()) };
        rules
    }

    fn check(rules: &ClientRules, yes: &[&str], no: &[&str]) {
        let allowed = |client: &&&str| rules.allows(client.parse().unwrap());
        assert_eq!(yes.iter().filter(allowed).count(), yes.len(), "{rules:?} should allow {yes:?}");
        assert_eq!(no.iter().filter(allowed).collect::<Vec<_>>(), Vec::<&&str>::new(), "{rules:?}");
    }

    #[test]
    fn the_default_serves_this_host_and_its_private_networks() {
        let rules =
            rules("loopback,subnet", &["172.18.0.0/16", "fd00:1::/64", "fe80::/64", "203.0.114.0/24", "2a00:1::/64"]);
        check(
            &rules,
            &[
                "127.0.0.1",
                "127.9.9.9",
                "::1",
                "::ffff:127.0.0.1",
                "172.18.5.6",
                "::ffff:172.18.5.6",
                "fd00:1::5",
                "fe80::7",
            ],
            &["172.19.0.1", "8.8.8.8", "203.0.114.9", "2a00:1::9", "fd00:2::5", "::ffff:8.8.8.8", "::", "0.0.0.0"],
        );
    }

    #[test]
    fn networks_by_address() {
        let rules = rules("10.1.2.3/8, 192.0.2.7,2001:db8::/33,::ffff:172.16.0.0/108", &[]);
        check(
            &rules,
            &["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "2001:db8:7fff::1", "172.31.0.1"],
            &["11.0.0.1", "192.0.2.8", "2001:db8:8000::1", "127.0.0.1", "::1", "172.32.0.1"],
        );
    }

    #[test]
    fn everybody_only_by_that_word() {
        check(&rules("any", &[]), &["8.8.8.8", "2a00::1", "127.0.0.1"], &[]);
        check(&rules("0.0.0.0/0", &[]), &["8.8.8.8", "::ffff:8.8.8.8"], &["2a00::1"]);
        check(&rules("::/0", &[]), &["2a00::1"], &["8.8.8.8"]);
        for bad in ["", "::ffff:0.0.0.0/95", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "host", "10.0.0.0/8,"] {
            assert!(ClientRules::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_lets_strangers_in_is_known_for_it() {
        for open in [
            "any",
            "loopback,any",
            "0.0.0.0/0",
            "::/0",
            "::ffff:0.0.0.0/96",
            "8.8.8.0/24",
            "10.0.0.0/7",
            "172.16.0.0/11",
            "2a00::/16",
            "fc00::/6",
            "::/1",
            "127.0.0.0/7",
        ] {
            assert!(ClientRules::parse(open).unwrap().are_public(), "{open}");
        }
        let closed =
            "loopback,subnet,10.0.0.0/8,172.20.0.0/16,192.168.1.0/24,100.64.0.0/10,fd00::/8,8.8.8.8,2a00::1,::1";
        assert!(!ClientRules::parse(closed).unwrap().are_public());
    }

    #[test]
    fn the_kernels_tables_are_understood() {
        let line = |destination: [u8; 4], gateway: &str, flags: &str, mask: [u8; 4]| {
            let hex = |bytes| format!("{:08X}", u32::from_ne_bytes(bytes));
            format!("eth0\t{}\t{gateway}\t{flags}\t0\t0\t0\t{}\t0\t0\t0   ", hex(destination), hex(mask))
        };
        let connected = line([172, 18, 0, 0], "00000000", "0001", [255, 255, 0, 0]);
        assert_eq!(connected_v4(&connected), Network::parse("172.18.0.0/16"));
        assert_eq!(connected_v4(&line([0; 4], "010200C0", "0003", [0; 4])), None, "default route");
        assert_eq!(connected_v4(&line([0; 4], "00000000", "0001", [0; 4])), None, "point to point");
        assert_eq!(connected_v4(&line([10, 0, 0, 0], "010200C0", "0003", [255, 0, 0, 0])), None, "behind a gateway");
        assert_eq!(connected_v4("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask"), None);
        let line = "fd000000000000000000000000000002 04 40 00 82     eth0";
        assert_eq!(connected_v6(line).map(|network| network.prefix), Some(64));
        assert!(connected_v6(line).unwrap().contains("fd00::7".parse().unwrap()));
        assert_eq!(connected_v6(""), None);
    }

    proptest! {
        #[test]
        fn lines_of_any_kind_do_no_harm(line in any::<String>()) {
            let _ = (connected_v4(&line), connected_v6(&line), ClientRules::parse(&line));
        }

        #[test]
        fn a_network_contains_what_shares_its_prefix(a in any::<u32>(), b in any::<u32>(), prefix in 1u32..=32) {
            let network = Network { address: Ipv4Addr::from_bits(a).into(), prefix };
            let same = a >> (32 - prefix) == b >> (32 - prefix);
            prop_assert_eq!(network.contains(Ipv4Addr::from_bits(b).into()), same);
        }
    }
}
