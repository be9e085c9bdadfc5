//! Which servers are asked for through a proxy. A program of its own, since it changes the environment.

use std::io::{Read, Write};
use std::net::TcpListener;

use microsandbox::{Client, Error, SandboxOptions};

/// Answers every request with a health that tells who answered; its URL.
fn server(message: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = format!("{{\"message\":\"{message}\"}}");
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    url
}

async fn health(options: microsandbox::SandboxOptionsBuilder) -> Result<String, Error> {
    Client::new(&options.build())?.health().await
}

#[tokio::test]
async fn a_proxy_is_used_but_for_this_machine_unless_it_is_asked_for() {
    let (direct, proxy) = (server("direct"), server("proxy"));
    for name in ["NO_PROXY", "no_proxy", "HTTP_PROXY"] {
        std::env::remove_var(name);
    }
    std::env::set_var("http_proxy", &proxy);
    let at = |url: &str| SandboxOptions::builder().server_url(url);
    assert_eq!(health(at(&direct)).await.unwrap(), "direct");
    assert_eq!(health(at(&direct).proxy(&proxy)).await.unwrap(), "proxy");
    assert_eq!(health(at("http://sandboxes.example:5555")).await.unwrap(), "proxy");
    std::env::set_var("http_proxy", "http://127.0.0.1:9");
    assert!(matches!(health(at("http://sandboxes.example")).await, Err(Error::Unreachable { .. })));
}
