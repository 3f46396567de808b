//! TLS to the database, in libpq's words.

use windlass_host::store::{DatabaseError, PostgresSettings, PostgresStore};
use windlass_tests::postgres::{Remote, Schema, remote};

async fn open(schema: &Schema, query: &str) -> Result<PostgresStore, DatabaseError> {
    PostgresStore::open(PostgresSettings::at(format!("{}&{query}", schema.url()))).await
}

#[tokio::test]
async fn a_server_that_takes_tls_only_is_reached_as_far_as_is_asked_for() {
    let Remote { url, authority } = remote();
    for (query, is_open) in [
        ("sslmode=prefer".to_owned(), true),
        ("sslmode=require".to_owned(), true),
        (format!("sslmode=require&sslrootcert={authority}"), true),
        (format!("sslmode=verify-ca&sslrootcert={authority}"), true),
        (format!("sslmode=verify-full&sslrootcert={authority}"), true),
        // The system's authorities do not know a test's.
        ("sslmode=verify-full".to_owned(), false),
        ("sslmode=verify-ca".to_owned(), false),
        ("sslmode=disable".to_owned(), false),
    ] {
        let schema = Schema::by(&url).await;
        let opened = open(&schema, &query).await;
        match opened {
            Ok(store) => {
                assert!(is_open, "{query}");
                store.close().await;
            }
            Err(error) => assert!(!is_open, "{query}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_name_that_is_not_in_the_certificate_is_refused_where_it_is_asked_for() {
    let Remote { url, authority } = remote();
    let at = url.rfind('@').expect("it has a user") + 1;
    let port = at + url[at..].find(':').expect("it has a port");
    // The same server, by a name that its certificate does not have.
    let other = format!("{}wrong.example{}?hostaddr=127.0.0.1", &url[..at], &url[port..]);
    let schema = Schema::by(&other).await;
    let root = format!("sslrootcert={authority}");
    let error = open(&schema, &format!("sslmode=verify-full&{root}")).await.err();
    let error = error.expect("the name is another").to_string();
    assert!(error.contains("certificate"), "{error}");
    open(&schema, &format!("sslmode=verify-ca&{root}"))
        .await
        .expect("the name is not asked for")
        .close()
        .await;
}
