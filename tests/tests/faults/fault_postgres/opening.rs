//! `windlass serve` on a server or a database that cannot be used: a clear error, no password in it, nothing changed.

use windlass_tests::crash::process::{Ended, Started, serve_command, start, windlass_program};
use windlass_tests::crash::site::Site;
use windlass_tests::postgres::{Schema, remote, shared};

/// What `windlass --help` says of something that broke.
const BROKEN: i32 = 7;

async fn serve(site: &Site, url: &str) -> Started {
    let program = windlass_program();
    start(serve_command(&program, &site.data(), &site.ledger(), ["--store", url]), site.path()).await
}

/// It does not serve, and says all of this.
async fn refused(url: &str, words: &[&str]) -> Ended {
    let site = Site::fresh().await;
    let ended = serve(&site, url).await.refused();
    assert_eq!(ended.status.code(), Some(BROKEN), "{ended:#?}");
    assert!(ended.printed.is_empty(), "{ended:#?}");
    for word in words {
        assert!(ended.errors.contains(word), "no {word:?} in {}", ended.errors);
    }
    ended
}

async fn serves(site: &Site, url: &str) {
    let ended = serve(site, url).await.ready().terminate().await;
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_named_with_what_to_check() {
    let url = "postgres:///ops?host=%2Fnowhere%2Fat-all&user=windlass&password=hush";
    let ended = refused(url, &["database ops on /nowhere/at-all", "cannot be reached", "check"]).await;
    assert!(!ended.errors.contains("hush"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_not_repeated() {
    let remote = remote();
    let (user, rest) = remote.url.rsplit_once('@').expect("it names a user");
    let (user, _) = user.rsplit_once(':').expect("it has a password");
    let url = format!("{user}:hush@{rest}?sslmode=require");
    let ended = refused(&url, &["lets nobody in", "password authentication failed", "check user"]).await;
    assert!(!ended.errors.contains("hush"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_is_named() {
    let url = shared().replacen("/postgres?", "/elsewhere?", 1);
    refused(&url, &["database elsewhere", "\"elsewhere\" does not exist", "check"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_make_no_tables_is_told_which_right_is_missing() {
    let schema = Schema::fresh().await;
    let client = schema.client().await;
    let role = format!("guest_{}", uuid::Uuid::now_v7().simple());
    let made = format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {} TO {role}", schema.name());
    client.batch_execute(&made).await.expect("a role can be made");
    let url = schema.url().replacen("user=windlass", &format!("user={role}"), 1);
    refused(&url, &["cannot be prepared", "permission denied", "create tables"]).await;
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    client.batch_execute(&gone).await.expect("the role can be dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_a_newer_windlass_is_refused_and_left_as_it_is() {
    let (schema, site) = (Schema::fresh().await, Site::fresh().await);
    serves(&site, &schema.url()).await;
    let client = schema.client().await;
    let newer = "UPDATE windlass SET schema_version = schema_version + 1";
    client.batch_execute(newer).await.expect("it can be written");
    let row = "SELECT windlass::text FROM windlass";
    let before: String = client.query_one(row, &[]).await.expect("one row").get(0);
    let version = "SELECT schema_version FROM windlass";
    let found: i32 = client.query_one(version, &[]).await.expect("one row").get(0);
    let told = [format!("has schema {found}"), format!("knows {}", found - 1), "newer".to_owned()];
    refused(&schema.url(), &told.each_ref().map(String::as_str)).await;
    let after: String = client.query_one(row, &[]).await.expect("one row").get(0);
    assert_eq!(before, after);
    let older = "UPDATE windlass SET schema_version = schema_version - 1";
    client.batch_execute(older).await.expect("it can be written");
    serves(&site, &schema.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_use_is_refused_until_its_host_is_gone_or_killed() {
    let (schema, site) = (Schema::fresh().await, Site::fresh().await);
    let first = serve(&site, &schema.url()).await.ready();
    refused(&schema.url(), &["in use by another host", "choose another database"]).await;
    let mut client = first.client().await.expect("the first one serves");
    assert!(client.list().await.expect("the first one answers").is_empty());
    first.kill().await;
    let next = serve(&site, &schema.url()).await.ready();
    assert_eq!(next.terminate().await.status.code(), Some(0));
    serves(&site, &schema.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_used_as_the_address_asks_for_it() {
    let (remote, site, schema) = (remote(), Site::fresh().await, Schema::fresh().await);
    let within = schema.url();
    let (_, options) = within.split_once("options=").expect("it names the schema");
    let url = |query: &str| format!("{}?{query}&options={options}", remote.url);
    let root = remote.authority.replace('/', "%2F");
    serves(&site, &url("sslmode=require")).await;
    serves(&site, &url(&format!("sslmode=verify-full&sslrootcert={root}"))).await;
    refused(&url("sslmode=verify-full"), &["cannot be reached", "certificate"]).await;
    refused(&url("sslmode=disable"), &["lets nobody in", "no encryption"]).await;
}
