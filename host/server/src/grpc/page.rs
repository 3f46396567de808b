//! Pages: lists in pieces that neither repeat nor skip.
//!
//! Invariant: a page begins behind the last thing that the one before it showed, so that what is added or removed
//! meanwhile moves nothing. A token names that thing, and the list that it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use prost::Message;
use windlass_core::id::Digest;

use crate::engine::EngineError;

/// Items of a page where the client asks for none in particular.
const SIZE_DEFAULT: usize = 50;
/// Items of the largest page.
const SIZE_MAX: usize = 1_000;
/// Bytes of the items of one page: half of what a message may have. A page has one item at least.
const PAGE_BYTES_MAX: usize = 2 << 20;
/// Bytes of a list's fingerprint: enough to notice a token of another list.
const FINGERPRINT_BYTES: usize = 8;

/// What a client asks of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub size: usize,
    /// The place of the last thing that was shown; none on the first page.
    pub after: Option<Vec<u8>>,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl Page {
    /// `filter` is the request without its page fields: with the principal it tells lists apart.
    pub fn asked(
        filter: &impl Message,
        principal: &str,
        size: i32,
        token: &str,
    ) -> Result<Self, EngineError> {
        let fingerprint = fingerprint(filter, principal);
        let size = match usize::try_from(size) {
            Ok(0) => SIZE_DEFAULT,
            Ok(size) => size.min(SIZE_MAX),
            Err(_) => {
                return Err(EngineError::invalid("page_size", format!("is {size}: give 0 to {SIZE_MAX}")));
            }
        };
        let after = if token.is_empty() { None } else { Some(place(token, &fingerprint)?) };
        Ok(Self { size, after, fingerprint })
    }

    /// The token of the page behind `place`.
    pub fn token(&self, place: &[u8]) -> String {
        BASE64.encode([&self.fingerprint, place].concat())
    }

    /// The place, as `read` understands it.
    pub fn after<T>(&self, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<Option<T>, EngineError> {
        let Some(place) = &self.after else { return Ok(None) };
        read(place).map(Some).ok_or_else(foreign)
    }

    /// A page of a list that is in memory as a whole, in the order of its places, and the next token.
    pub fn cut<T, M: Message>(
        &self,
        all: Vec<T>,
        place: impl Fn(&T) -> Vec<u8>,
        show: impl Fn(&T) -> M,
    ) -> (Vec<M>, String) {
        let more = all.len() > self.size;
        let mut shown: Vec<M> = all.iter().take(self.size).map(show).collect();
        let fitting = fitting(&shown);
        let is_cut = more || fitting < shown.len();
        shown.truncate(fitting);
        let last = all.get(fitting.saturating_sub(1)).filter(|_| is_cut);
        (shown, last.map(|last| self.token(&place(last))).unwrap_or_default())
    }
}

/// How many of these fit into one answer: one at least, if there is one.
pub(super) fn fitting(items: &[impl Message]) -> usize {
    let mut bytes = 0;
    let fits = items.iter().take_while(|item| {
        bytes += item.encoded_len();
        bytes <= PAGE_BYTES_MAX
    });
    fits.count().max(1).min(items.len())
}

/// A token that holds no more than a place; such as a cursor, which belongs to no list.
pub(super) fn opaque(place: &[u8]) -> String {
    BASE64.encode(place)
}

/// What [`opaque`] held.
pub(super) fn transparent(token: &str) -> Option<Vec<u8>> {
    BASE64.decode(token).ok()
}

fn place(token: &str, fingerprint: &[u8]) -> Result<Vec<u8>, EngineError> {
    let bytes = BASE64.decode(token).map_err(|_| foreign())?;
    bytes.strip_prefix(fingerprint).map(<[u8]>::to_vec).ok_or_else(foreign)
}

fn foreign() -> EngineError {
    EngineError::invalid("page_token", "is of another list, or none of this host: begin with the first page")
}

fn fingerprint(filter: &impl Message, principal: &str) -> [u8; FINGERPRINT_BYTES] {
    let mut bytes = filter.encode_to_vec();
    bytes.push(0);
    bytes.extend(principal.as_bytes());
    let digest = Digest::of(&bytes).0;
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_proto::v1::{Host, ListTriggersRequest};

    fn filter(owner: &str) -> ListTriggersRequest {
        ListTriggersRequest { owner: owner.to_owned(), ..Default::default() }
    }

    fn host(name: &u8) -> Host {
        Host { name: name.to_string(), ..Host::default() }
    }

    #[test]
    fn a_token_leads_behind_what_was_shown_and_only_in_its_own_list() {
        let first = Page::asked(&filter("ann"), "ann", 2, "").unwrap();
        let (shown, token) = first.cut(vec![1_u8, 2, 3], |n| vec![*n], host);
        assert_eq!(shown.len(), 2);
        let second = Page::asked(&filter("ann"), "ann", 2, &token).unwrap();
        assert_eq!(second.after(|place| place.first().copied()).unwrap(), Some(2));
        let (shown, token) = second.cut(vec![3_u8], |n| vec![*n], host);
        assert_eq!((shown.len(), token.as_str()), (1, ""));

        let token = first.token(&[2]);
        for (owner, principal) in [("bob", "ann"), ("ann", "bob")] {
            assert!(Page::asked(&filter(owner), principal, 2, &token).is_err());
        }
        assert!(Page::asked(&filter("ann"), "ann", 2, "no token").is_err());
        assert!(Page::asked(&filter("ann"), "ann", -1, "").is_err());
        assert_eq!(Page::asked(&filter("ann"), "ann", 100_000, "").unwrap().size, SIZE_MAX);
    }

    #[test]
    fn a_page_is_cut_where_its_bytes_are_too_many_but_has_one_item() {
        let large = |_: &u8| Host { name: "x".repeat(PAGE_BYTES_MAX), ..Host::default() };
        let page = Page::asked(&filter(""), "ann", 10, "").unwrap();
        let (shown, token) = page.cut(vec![1, 2], |n| vec![*n], large);
        assert_eq!((shown.len(), token), (1, page.token(&[1])));
        assert_eq!(fitting(&Vec::<Host>::new()), 0);
    }
}
