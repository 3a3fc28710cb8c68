//! What reads as an address, and what does not.

use proptest::prelude::*;

use super::*;

#[test]
fn what_can_be_listened_on() {
    let cases = [
        ("0.0.0.0:8080", "0.0.0.0:8080"),
        ("[::]:80", "[::]:80"),
        (":8080", "0.0.0.0:8080"),
        ("localhost:0", "127.0.0.1:0"),
        ("127.0.0.1:65535", "127.0.0.1:65535"),
        ("unix:/run/web.sock", "unix:/run/web.sock"),
    ];
    for (text, address) in cases {
        assert_eq!(bind(text).map(|bound| bound.to_string()).as_deref(), Ok(address), "{text}");
    }
    let refused = [
        ("", AddressError::Empty),
        ("8080", AddressError::NoPort),
        ("0.0.0.0", AddressError::NoPort),
        ("0.0.0.0:", AddressError::BadPort(String::new())),
        ("0.0.0.0:65536", AddressError::BadPort("65536".to_owned())),
        ("0.0.0.0:+80", AddressError::BadPort("+80".to_owned())),
        ("::1:80", AddressError::Unbracketed),
        ("[::1]", AddressError::NoPort),
        ("[::g]:80", AddressError::BadIpv6("::g".to_owned())),
        ("[::1]80", AddressError::BadIpv6("[::1]80".to_owned())),
        ("example.org:80", AddressError::NotLocal),
        ("/run/x", AddressError::BarePath("/run/x".to_owned())),
        ("unix:x", AddressError::RelativePath),
    ];
    for (text, error) in refused {
        assert_eq!(bind(text), Err(error), "{text}");
    }
}

#[test]
fn what_can_be_an_endpoint() {
    use Scheme::{Http, Https, Unsaid};
    let socket = |text: &str| Address::Socket(text.parse().unwrap());
    let named = |name: &str, port| Address::Name(Arc::from(name), port);
    let service = |name: &str| Address::Service(Arc::from(name));
    let cases = [
        ("10.0.0.1:8080", Unsaid, socket("10.0.0.1:8080")),
        ("10.0.0.1", Unsaid, socket("10.0.0.1:80")),
        ("[::1]:81", Unsaid, socket("[::1]:81")),
        ("[::1]", Unsaid, socket("[::1]:80")),
        ("files.internal:80", Unsaid, named("files.internal", 80)),
        ("Files.Internal", Unsaid, named("files.internal", 80)),
        ("a_b.example.", Unsaid, named("a_b.example.", 80)),
        ("http://files.internal:8080/", Http, named("files.internal", 8080)),
        ("HTTP://10.0.0.1", Http, socket("10.0.0.1:80")),
        ("https://Files.internal", Https, named("files.internal", 443)),
        ("HTTPS://[::1]:8443/", Https, socket("[::1]:8443")),
        ("unix:/run/app.sock", Unsaid, Address::Unix(PathBuf::from("/run/app.sock"))),
        ("srv+http://_http._tcp.App/", Http, service("_http._tcp.app")),
        ("srv+https://_https._tcp.App", Https, service("_https._tcp.app")),
    ];
    for (text, scheme, address) in cases {
        let location = Location { scheme, address };
        assert_eq!(endpoint(text).as_ref(), Ok(&location), "{text}");
        assert_eq!(endpoint(&location.to_string()), Ok(location), "{text}");
    }
}

#[test]
fn what_cannot() {
    let name = |text: &str| AddressError::BadName(text.to_owned());
    let cases = [
        ("", AddressError::Empty),
        ("http://", AddressError::Empty),
        ("https://", AddressError::Empty),
        ("https://a/b", AddressError::HasPath),
        ("h2c://a", AddressError::Later("h2c".to_owned())),
        ("srv+h2c://a", AddressError::BadScheme("srv+h2c".to_owned())),
        ("srv+https://_https._tcp.app:443", AddressError::ServicePort),
        ("srv+http://_http._tcp.app:80", AddressError::ServicePort),
        ("srv+http://10.0.0.1", AddressError::BadName("10.0.0.1".to_owned())),
        ("srv+http://a/b", AddressError::HasPath),
        ("ftp://a", AddressError::BadScheme("ftp".to_owned())),
        ("http://a/path", AddressError::HasPath),
        ("a/path", AddressError::HasPath),
        ("a:0", AddressError::BadPort("0".to_owned())),
        ("a:http", AddressError::BadPort("http".to_owned())),
        (":80", name("")),
        ("a b", name("a b")),
        ("user@a", name("user@a")),
        ("a..b", name("a..b")),
        ("1.2.3", name("1.2.3")),
        ("256.1.1.1", name("256.1.1.1")),
        ("::1", AddressError::Unbracketed),
        ("unix:run", AddressError::RelativePath),
        ("unix:/a\0b", AddressError::LongPath),
    ];
    for (text, error) in cases {
        assert_eq!(endpoint(text), Err(error), "{text}");
    }
}

#[test]
fn what_a_router_can_name() {
    for (url, same) in [
        ("http://10.0.0.1:8080", "10.0.0.1:8080"),
        ("HTTP://10.0.0.1/", "10.0.0.1:80"),
        ("http://[::ffff:10.0.0.1]", "10.0.0.1:80"),
        ("http://[::1]:81", "[::1]:81"),
        ("http://Files.Internal:80", "files.internal:80"),
        ("https://Files.Internal", "https://files.internal:443"),
        ("https://[::ffff:10.0.0.1]:8443/", "https://10.0.0.1:8443"),
    ] {
        let location = Location::from_url(url).unwrap();
        let plain = same.strip_prefix("https://").unwrap_or(same);
        assert_eq!(location.address.to_string(), plain, "{url}");
        assert_eq!(location.scheme == Scheme::Https, plain != same, "{url}");
    }
    let refused = [
        ("", AddressError::NoScheme),
        ("10.0.0.1:80", AddressError::NoScheme),
        ("unix:/run/app.sock", AddressError::NoScheme),
        ("unix:///run/app.sock", AddressError::BadScheme("unix".to_owned())),
        ("://a", AddressError::BadScheme(String::new())),
        ("h2c://a", AddressError::Later("h2c".to_owned())),
        ("srv+http://a", AddressError::ServiceUrl),
        ("srv+https://a", AddressError::ServiceUrl),
        ("http://user@a", AddressError::BadName("user@a".to_owned())),
        ("http://a/b", AddressError::HasPath),
        ("http://a//", AddressError::HasPath),
        ("http://a?b", AddressError::BadName("a?b".to_owned())),
        ("http://[fe80::1%lo]:80", AddressError::BadIpv6("fe80::1%lo".to_owned())),
    ];
    for (url, error) in refused {
        assert_eq!(Location::from_url(url), Err(error.into()), "{url}");
    }
}

#[test]
fn what_a_stream_router_can_name() {
    for (url, same) in [
        ("tcp://10.0.0.1:8080", "10.0.0.1:8080"),
        ("tcp://[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
        ("tcp://Files.Internal:80", "files.internal:80"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
    ] {
        let address = endpoint(same).unwrap().address;
        assert_eq!(
            Location::from_stream(url),
            Ok(Location { scheme: Scheme::Http, address }),
            "{url}"
        );
    }
    for (url, error) in [
        ("", AddressError::NoStream),
        ("10.0.0.1:80", AddressError::NoStream),
        ("http://10.0.0.1:80", AddressError::NoStream),
        ("tcp://a", AddressError::NoPort),
        ("tcp://a:0", AddressError::BadPort("0".to_owned())),
        ("tcp://a:1/", AddressError::HasPath),
        ("unix:run", AddressError::RelativePath),
    ] {
        assert_eq!(Location::from_stream(url), Err(error.into()), "{url}");
    }
}

#[test]
fn what_can_be_granted() {
    let network = |text: &str| HostGrant::Network(text.parse().unwrap());
    let named = |name: &str| HostGrant::Name(name.to_owned());
    let cases = [
        ("10.0.0.0/8:*", network("10.0.0.0/8"), None),
        ("0.0.0.0/0:443", network("0.0.0.0/0"), Some(443)),
        ("127.0.0.1:8080", network("127.0.0.1/32"), Some(8080)),
        ("[::1]:80", network("::1/128"), Some(80)),
        ("[fd00::/8]:*", network("fd00::/8"), None),
        ("fd00::/8:*", network("fd00::/8"), None),
        ("Backend.internal:*", named("backend.internal"), None),
        ("unix:/run/a.sock", HostGrant::Unix(PathBuf::from("/run/a.sock")), None),
    ];
    for (text, host, port) in cases {
        assert_eq!(grant(text), Ok(AddressGrant { host, port }), "{text}");
    }
    let host_bits = AddressError::HostBits("10.0.0.0/8".parse().unwrap());
    assert_eq!(grant("10.1.2.3/8:*"), Err(host_bits));
    let networks = ["10.0.0.0/8", "::1/128", "fd00::/8", "10.0.0.1/32"];
    for text in networks {
        assert_eq!(super::network(text).unwrap().to_string(), text);
    }
    assert_eq!(super::network("10.0.0.1"), super::network("10.0.0.1/32"));
    // Clients' addresses are compared as what they are.
    for (mapped, text) in [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:1.2.3.4", "1.2.3.4/32")]
    {
        assert_eq!(super::network(mapped), super::network(text), "{mapped}");
    }
    assert_eq!(grant("[::ffff:1.2.3.4]:5"), grant("1.2.3.4:5"));
    assert_eq!(
        super::network("10.1.2.3/8"),
        Err(AddressError::HostBits("10.0.0.0/8".parse().unwrap()))
    );
    for text in ["", "10.0.0.0/33", "[::1]", "a.test", "10.0.0.1:80"] {
        assert!(super::network(text).is_err(), "{text}");
    }
    for text in
        ["", "10.0.0.0/8", "*:*", "10.0.0.0/33:*", "::1:80", "a:0", "[a]:80", ":80", "unix:a"]
    {
        assert!(grant(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_judged(text in "\\PC*", near in "[a-f0-9:./\\[\\]*@ ]{0,24}") {
        for text in [&text, &near] {
            let _ = (bind(text), endpoint(text), grant(text));
        }
    }

    #[test]
    fn every_socket_address_reads_back(address: IpAddr, port in 1_u16..) {
        let socket = SocketAddr::new(address, port);
        prop_assert_eq!(bind(&socket.to_string()), Ok(Bind::Tcp(socket)));
        let location = Location { scheme: Scheme::Unsaid, address: Address::Socket(socket) };
        prop_assert_eq!(endpoint(&socket.to_string()), Ok(location));
        let granted = grant(&socket.to_string()).unwrap();
        prop_assert!(granted.covers(address, port));
    }
}
