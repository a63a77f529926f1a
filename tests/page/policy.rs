//! The page's own policy holds against what could ever get into it.

use std::io::Read;
use std::net::TcpListener;

use super::page;
use crate::fixture::Browser;

#[test]
fn the_policy_lets_nothing_run_load_or_send_but_the_pages_own() {
    let (project, path) = page();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let away = format!("http://{}", server.local_addr().unwrap());
    let page = std::fs::read_to_string(&path).unwrap();
    let slipped = "<script>window.hacked=1</script><img src=\"http://127.0.0.1:9/a.png\" onerror=\"window.hacked=2\">\
        <style>h1 { display: none }</style><link rel=\"stylesheet\" href=\"http://127.0.0.1:9/b.css\">\
        <iframe src=\"http://127.0.0.1:9/c\"></iframe><base href=\"http://127.0.0.1:9/\">\
        <p id=\"inline\" style=\"color: rgb(1, 2, 3)\">x</p><script src=\"http://127.0.0.1:9/d.js\"></script></main>";
    let slipped = slipped.replace("http://127.0.0.1:9", &away);
    project.file("slipped.html", page.replace("</main>", &slipped));
    let mut browser = Browser::start();
    browser.open(&project.path("slipped.html"));
    assert!(browser.value("window.hacked").is_null());
    assert_eq!(browser.value("document.querySelector('h1').getClientRects().length > 0"), true);
    assert_ne!(browser.value("getComputedStyle(document.getElementById('inline')).color"), "rgb(1, 2, 3)");
    assert!(browser.value("document.baseURI").as_str().unwrap().starts_with("file://"));
    let sent = browser.value(&format!("fetch('{away}/e').then(() => 'sent', e => String(e))"));
    assert!(sent.as_str().unwrap().contains("TypeError"), "{sent}");
    assert_eq!(browser.requests(), Vec::<String>::new());
    assert!(browser.complaints().len() >= 6, "{:?}", browser.complaints());
    // The page's own script still works.
    assert_eq!(browser.value("document.getElementById('filter').hidden"), false);
    // A browser may reach out before it knows the policy; said it has nothing.
    drop(browser);
    while let Ok((mut came, _)) = server.accept() {
        let mut said = String::new();
        came.set_nonblocking(false).unwrap();
        came.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}
