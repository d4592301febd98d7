//! A proxy that speaks TLS before a node, as one that operators put there.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Valid for `localhost` until the year 2126, signed by `authority.pem`, whose key is nowhere.
const CERTIFICATE: &[u8] = include_bytes!("server.pem");
const KEY: &[u8] = include_bytes!("server.key");

/// Passes requests on to a node, and its answers back, until the test ends. Returns its port.
pub(super) fn start(node: &str) -> u16 {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, node) = (Arc::new(config), node.to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that does not trust the certificate hangs up.
            let _ = pass_on(ServerConnection::new(Arc::clone(&config)).unwrap(), stream, &node);
        }
    });
    port
}

/// One request and its answer. Both announce their length.
fn pass_on(connection: ServerConnection, stream: TcpStream, node: &str) -> io::Result<()> {
    let mut client = BufReader::new(StreamOwned::new(connection, stream));
    let request = message(&mut client)?;
    let mut node = BufReader::new(TcpStream::connect(node)?);
    node.get_mut().write_all(&request)?;
    let answer = message(&mut node)?;
    client.get_mut().write_all(&answer)?;
    client.get_mut().conn.send_close_notify();
    client.get_mut().flush()
}

fn message(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend(line.as_bytes());
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length is a number");
        }
        if line == "\r\n" {
            break;
        }
    }
    from.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
