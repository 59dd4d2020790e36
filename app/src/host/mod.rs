//! What differs between the server's render and the browser's: the request that is answered, its cookies, its status.

#[cfg(not(feature = "ssr"))]
mod browser;
#[cfg(feature = "ssr")]
mod server;

#[cfg(not(feature = "ssr"))]
pub use browser::{
    cookie, form_replay, replayed_page, send_form, set_cookie, set_favicon, set_status, settled, will_load,
    without_chunk,
};
#[cfg(feature = "ssr")]
pub use server::{
    SecureCookies, cookie, form_replay, replayed_page, send_form, set_cookie, set_favicon, set_status, settled,
    will_load, without_chunk,
};
