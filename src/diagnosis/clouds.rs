//! Clouds and hosts that block SMTP on the way out, how to know that we are there, and how to have it lifted.

use crate::outcome::Cause;

/// A place that blocks ports.
#[derive(Debug)]
struct Cloud {
    /// It sets a variable that begins so.
    variable: Option<&'static str>,
    /// Its machines call themselves so (DMI), in lower case.
    machine: Option<&'static str>,
    /// What it blocks.
    ports: &'static [u16],
    cause: Cause,
}

const fn blocked_by(why: &'static str, remedy: &'static str) -> Cause {
    Cause { name: "port_blocked", why, remedy }
}

const CLOUDS: &[Cloud] = &[
    Cloud {
        variable: Some("RAILWAY_"),
        machine: None,
        ports: &[25, 465, 587, 2525],
        cause: blocked_by(
            "Railway lets no SMTP out on the Free, Trial and Hobby plans.",
            "Move to the Pro plan and deploy again, or send through a provider's HTTPS API.",
        ),
    },
    Cloud {
        variable: Some("RENDER"),
        machine: None,
        ports: &[25, 465, 587],
        cause: blocked_by(
            "Render blocks 25, 465 and 587 for free web services.",
            "Use a paid instance, or a provider with port 2525, 2587 or 2465 or an HTTPS API.",
        ),
    },
    Cloud {
        variable: Some("AWS_LAMBDA_FUNCTION_NAME"),
        machine: None,
        ports: &[25],
        cause: blocked_by(
            "AWS Lambda does not let port 25 out.",
            "Use 587 or 465; for 25 put the function into a VPC behind a NAT gateway and ask AWS to lift the limit.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("digitalocean"),
        ports: &[25, 465, 587],
        cause: blocked_by(
            "DigitalOcean blocks 25, 465 and 587 on Droplets, and promises nobody to lift it.",
            "Use a provider with port 2525, 2587 or 2465 (SendGrid, Mailgun, Postmark, Resend, Amazon SES) or an HTTPS API.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("linode"),
        ports: &[25, 465, 587],
        cause: blocked_by(
            "Linode (Akamai) blocks 25, 465 and 587 for accounts made since November 2019.",
            "Set an A record and reverse DNS and open a support ticket; meanwhile use a provider with port 2525 or 2587.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("akamai"),
        ports: &[25, 465, 587],
        cause: blocked_by(
            "Akamai (Linode) blocks 25, 465 and 587 for accounts made since November 2019.",
            "Set an A record and reverse DNS and open a support ticket; meanwhile use a provider with port 2525 or 2587.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("hetzner"),
        ports: &[25, 465],
        cause: blocked_by(
            "Hetzner Cloud blocks 25 and 465 for new accounts; 587 is open.",
            "Use port 587; after a month and a paid invoice the limit can be lifted in the console.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("google"),
        ports: &[25],
        cause: blocked_by("Google Cloud never lets port 25 out.", "Use 587, 465 or 2525, which are free."),
    },
    Cloud {
        variable: None,
        machine: Some("amazon"),
        ports: &[25],
        cause: blocked_by(
            "AWS holds back port 25 of accounts that did not ask for it.",
            "Use 587, 465, 2587 or 2465, or ask AWS to lift the limit on port 25 for this Region.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("microsoft"),
        ports: &[25],
        cause: blocked_by(
            "Azure blocks port 25 for most subscriptions.",
            "Use 587, which is never restricted; Enterprise subscriptions can have 25, after stopping and starting the \
             machine.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("scaleway"),
        ports: &[25, 465, 587],
        cause: blocked_by(
            "Scaleway blocks 25, 465 and 587 by the Instance's security group.",
            "Have your identity checked and tick Enable SMTP in the security group, or use port 2587 or 2465.",
        ),
    },
    Cloud {
        variable: None,
        machine: Some("vultr"),
        ports: &[25],
        cause: blocked_by("Vultr blocks port 25 until it is asked.", "Use 587, 465 or 2525, or open a ticket."),
    },
    Cloud {
        variable: None,
        machine: Some("alibaba"),
        ports: &[25],
        cause: blocked_by("Alibaba Cloud blocks port 25.", "Use 587 or 465, which are free, or open a ticket."),
    },
];

const BLOCKED_25: Cause = blocked_by(
    "The network drops port 25 on the way out, whoever is at the other end, as nearly every cloud and access network does.",
    "Use a submission port with a login: 587, 465 or 2525 (SIDEPOST_PORT=auto tries what the provider has).",
);
const BLOCKED_SUBMISSION: Cause = blocked_by(
    "The network stops this port on the way out, whoever is at the other end: Linode, DigitalOcean, Scaleway, Render \
     (free) and Railway (Hobby) do so with 25, 465 and 587, Hetzner with 465, and so may a firewall or a NetworkPolicy.",
    "Allow it in your own egress rules, or ask whoever runs the network; else use a provider with port 2525, 2587 or \
     2465 (SendGrid, Mailgun, Postmark, Resend, Amazon SES; SIDEPOST_PORT=auto tries them) or an HTTPS API.",
);
const BLOCKED_OTHER: Cause = blocked_by(
    "The network stops this port on the way out, whoever is at the other end, as Railway (Hobby), Cloudzy and MMITech do \
     even with 2525, and so may a firewall or a NetworkPolicy.",
    "Allow it in your own egress rules, or ask whoever runs the network; port 443, and so an HTTPS API, is hardly ever \
     blocked.",
);

/// The cause where a port turned out to be blocked, for the place that this seems to be.
#[must_use]
pub fn blocked(port: u16) -> &'static Cause {
    let variables: Vec<_> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    blocked_at(port, &variables, &machine())
}

fn blocked_at(port: u16, variables: &[String], machine: &str) -> &'static Cause {
    let is_here = |cloud: &Cloud| {
        let variable = cloud.variable.is_some_and(|start| variables.iter().any(|name| name.starts_with(start)));
        variable || cloud.machine.is_some_and(|name| machine.contains(name))
    };
    let here = CLOUDS.iter().find(|cloud| cloud.ports.contains(&port) && is_here(cloud));
    match (here, port) {
        (Some(cloud), _) => &cloud.cause,
        (None, 25) => &BLOCKED_25,
        (None, 465 | 587) => &BLOCKED_SUBMISSION,
        (None, _) => &BLOCKED_OTHER,
    }
}

/// Every cause of a blocked port, with how the place is known.
pub fn catalogue() -> impl Iterator<Item = (String, &'static Cause)> {
    let place = |cloud: &'static Cloud| {
        let ports: Vec<_> = cloud.ports.iter().map(u16::to_string).collect();
        let sign = match (cloud.variable, cloud.machine) {
            (Some(variable), _) => format!("a variable that begins with {variable}"),
            (None, machine) => format!("a machine that calls itself {}", machine.unwrap_or_default()),
        };
        (format!("port {} on {sign}", ports.join(", ")), &cloud.cause)
    };
    let elsewhere = [("port 25 anywhere else", &BLOCKED_25), ("port 465 or 587", &BLOCKED_SUBMISSION)];
    let elsewhere = elsewhere.into_iter().chain([("any other port", &BLOCKED_OTHER)]);
    CLOUDS.iter().map(place).chain(elsewhere.map(|(place, cause)| (place.to_owned(), cause)))
}

/// What the machine calls its maker, as far as a container may see it.
fn machine() -> String {
    let read = |field| std::fs::read_to_string(format!("/sys/class/dmi/id/{field}")).unwrap_or_default();
    format!("{}{}", read("sys_vendor"), read("board_vendor")).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_named_only_for_what_it_blocks() {
        let why = |port, variables: &[&str], machine: &str| {
            let variables: Vec<_> = variables.iter().map(|&name| name.to_owned()).collect();
            blocked_at(port, &variables, machine).why
        };
        assert!(why(587, &["RAILWAY_PROJECT_ID"], "").starts_with("Railway lets no SMTP"));
        assert!(why(2525, &["RENDER"], "").starts_with("The network stops this port"));
        assert!(why(465, &["RENDER_SERVICE_ID"], "google").starts_with("Render blocks"));
        assert!(why(25, &[], "amazon ec2\n").starts_with("AWS holds back"));
        assert!(why(587, &[], "amazon ec2\n").contains("Linode, DigitalOcean"));
        assert!(why(587, &[], "digitalocean\n").starts_with("DigitalOcean"));
        assert!(why(25, &["PATH"], "").contains("nearly every cloud"));
        assert!(CLOUDS.iter().all(|cloud| cloud.variable.is_some() != cloud.machine.is_some()));
    }
}
