//! Netlink attributes (netlink(7), `struct nlattr`): a length and a kind of two bytes each, the value, padding to four.

/// The flag of a kind whose value is attributes again.
const NESTED: u16 = 0x8000;
/// What of a kind is the kind.
const KIND: u16 = 0x3fff;
const HEADER: usize = 4;

/// Attributes in the making.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Writer {
        let length = u16::try_from(HEADER + value.len()).expect("no attribute of ours is near 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// `nf_tables` has its numbers in the network's order.
    pub(super) fn number(&mut self, kind: u16, value: u32) -> &mut Writer {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) -> &mut Writer {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(super) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Writer)) -> &mut Writer {
        let mut inner = Writer::default();
        write(&mut inner);
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// Attributes as the kernel wrote them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Kind and value of each. Ends where they make no sense any more.
    pub(super) fn all(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
            let kind = u16::from_ne_bytes(rest.get(2..HEADER)?.try_into().ok()?) & KIND;
            let value = rest.get(HEADER..length)?;
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value))
        })
    }

    pub(super) fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        self.all().find(|(other, _)| *other == kind).map(|(_, value)| value)
    }

    pub(super) fn number(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    /// Everybody but `nf_tables` has them as the host has.
    pub(super) fn native(self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    pub(super) fn text(self, kind: u16) -> Option<String> {
        let bytes = self.bytes(kind)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    pub(super) fn nest(self, kind: u16) -> Option<Reader<'a>> {
        self.bytes(kind).map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::default();
        writer.text(1, "abc").number(2, 7).nest(3, |inner| {
            inner.bytes(4, &[1, 2, 3, 4, 5]);
        });
        let reader = Reader(&writer.0);
        assert_eq!((reader.text(1).as_deref(), reader.number(2)), (Some("abc"), Some(7)));
        assert_eq!(reader.nest(3).and_then(|inner| inner.bytes(4)), Some([1, 2, 3, 4, 5].as_slice()));
        assert_eq!(reader.bytes(5), None);
        assert_eq!(Reader(&writer.0[..6]).all().count(), 0);
    }
}
