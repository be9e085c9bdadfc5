//! Where the server is and how it is reached, out of options, environment and `.env`.

use std::collections::HashMap;
use std::net::IpAddr;

const DEFAULT_URL: &str = "http://127.0.0.1:5555";

/// The server's URL and the key. What is an option wins over the environment, that over `.env`, which is read only if
/// MSB_API_KEY is unset.
pub(crate) fn resolve(server_url: Option<&str>, api_key: Option<&str>) -> (String, Option<String>) {
    let file = match std::env::var_os("MSB_API_KEY") {
        Some(_) => HashMap::new(),
        None => std::fs::read_to_string(".env").map(|text| parse_dotenv(&text)).unwrap_or_default(),
    };
    let setting = |name: &str| std::env::var(name).ok().or_else(|| file.get(name).cloned()).filter(|v| !v.is_empty());
    let url = server_url.map(str::to_owned).or_else(|| setting("MSB_SERVER_URL"));
    let url = url.unwrap_or_else(|| DEFAULT_URL.to_owned());
    let key = api_key.map(str::to_owned).or_else(|| setting("MSB_API_KEY"));
    (url.trim_end_matches('/').to_owned(), key)
}

/// NAME=VALUE lines; `export` and quotes are allowed.
fn parse_dotenv(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| {
            let name = name.trim();
            let name = name.strip_prefix("export ").unwrap_or(name).trim();
            (name.to_owned(), unquote(value.trim()).to_owned())
        })
        .collect()
}

fn unquote(value: &str) -> &str {
    for quote in ['\'', '"'] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    value.split(" #").next().unwrap_or(value).trim_end()
}

/// Whether a URL's host is this machine: such a server is never asked for through a proxy.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_read_with_export_quotes_and_comments() {
        let found = parse_dotenv("# A=0\nexport A='1 # x' # y\nB = \"2\"\nC=3 # z\nD\nE=\n");
        let mut found: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, [("A", "1 # x"), ("B", "2"), ("C", "3"), ("E", "")]);
    }

    #[test]
    fn loopback_is_recognized() {
        for host in ["127.0.0.1", "127.8.9.1", "localhost", "a.localhost", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["192.168.0.1", "localhost.example", "127.0.0.1.example", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
