//! What a table stores with its keys: the kinds of data, and where each stands in an entry.
//!
//! A new kind is a variant of [`Data`] and a row in [`TYPES`]. Entries are words of 64 bits; a [`Layout`] says which words
//! are whose.

use super::rate;

/// The most elements that an array (`gpt`, `gpc`, `gpc_rate`) may have.
pub const ELEMENTS_MAX: u32 = 100;
/// The longest period of a rate, and the longest `expire`, in microseconds: 2^31 milliseconds.
pub const PERIOD_MAX_US: u64 = i32::MAX as u64 * 1000;

/// A kind of data, in the order in which `show table` prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the rows of TYPES name them")]
pub enum Data {
    ServerId,
    Gpt0,
    Gpc0,
    Gpc0Rate,
    ConnCnt,
    ConnRate,
    ConnCur,
    SessCnt,
    SessRate,
    HttpReqCnt,
    HttpReqRate,
    HttpErrCnt,
    HttpErrRate,
    BytesInCnt,
    BytesInRate,
    BytesOutCnt,
    BytesOutRate,
    Gpc1,
    Gpc1Rate,
    ServerKey,
    HttpFailCnt,
    HttpFailRate,
    Gpt,
    Gpc,
    GpcRate,
    GlitchCnt,
    GlitchRate,
}

/// What one kind of data is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number of 32 bits, which stays at its greatest value.
    Number,
    /// A number of 64 bits.
    Long,
    /// A rate over a period.
    Rate,
    /// Several numbers.
    Numbers,
    /// Several rates.
    Rates,
    /// The name of a server, beside the words.
    Name,
}

/// All kinds with their names, in the order of [`Data`].
pub const TYPES: &[(&str, Data, Shape)] = &[
    ("server_id", Data::ServerId, Shape::Number),
    ("gpt0", Data::Gpt0, Shape::Number),
    ("gpc0", Data::Gpc0, Shape::Number),
    ("gpc0_rate", Data::Gpc0Rate, Shape::Rate),
    ("conn_cnt", Data::ConnCnt, Shape::Number),
    ("conn_rate", Data::ConnRate, Shape::Rate),
    ("conn_cur", Data::ConnCur, Shape::Number),
    ("sess_cnt", Data::SessCnt, Shape::Number),
    ("sess_rate", Data::SessRate, Shape::Rate),
    ("http_req_cnt", Data::HttpReqCnt, Shape::Number),
    ("http_req_rate", Data::HttpReqRate, Shape::Rate),
    ("http_err_cnt", Data::HttpErrCnt, Shape::Number),
    ("http_err_rate", Data::HttpErrRate, Shape::Rate),
    ("bytes_in_cnt", Data::BytesInCnt, Shape::Long),
    ("bytes_in_rate", Data::BytesInRate, Shape::Rate),
    ("bytes_out_cnt", Data::BytesOutCnt, Shape::Long),
    ("bytes_out_rate", Data::BytesOutRate, Shape::Rate),
    ("gpc1", Data::Gpc1, Shape::Number),
    ("gpc1_rate", Data::Gpc1Rate, Shape::Rate),
    ("server_key", Data::ServerKey, Shape::Name),
    ("http_fail_cnt", Data::HttpFailCnt, Shape::Number),
    ("http_fail_rate", Data::HttpFailRate, Shape::Rate),
    ("gpt", Data::Gpt, Shape::Numbers),
    ("gpc", Data::Gpc, Shape::Numbers),
    ("gpc_rate", Data::GpcRate, Shape::Rates),
    ("glitch_cnt", Data::GlitchCnt, Shape::Number),
    ("glitch_rate", Data::GlitchRate, Shape::Rate),
];

const COUNT: usize = TYPES.len();

impl Data {
    /// Returns the kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        TYPES.iter().find(|(known, ..)| *known == name).map(|(_, data, _)| *data)
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        TYPES[self as usize].0
    }

    /// Returns what it is made of.
    pub fn shape(self) -> Shape {
        TYPES[self as usize].2
    }

    /// Returns the array whose first elements take its place, and which of them.
    fn element(self) -> Option<(Self, u32)> {
        Some(match self {
            Self::Gpc0 => (Self::Gpc, 0),
            Self::Gpc1 => (Self::Gpc, 1),
            Self::Gpt0 => (Self::Gpt, 0),
            Self::Gpc0Rate => (Self::GpcRate, 0),
            Self::Gpc1Rate => (Self::GpcRate, 1),
            _ => return None,
        })
    }
}

/// One kind of data that a table stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The kind.
    pub data: Data,
    /// Elements; 1 for what is no array.
    pub elements: u32,
    /// Period of rates.
    pub period_us: u64,
    offset: u32,
}

/// Where one value stands in an entry's words.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// First word.
    pub offset: usize,
    /// What stands there.
    pub shape: Shape,
    /// Period of a rate.
    pub period_us: u64,
}

/// Why a kind of data cannot be stored beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It is stored already; nothing changed.
    Twice,
    /// It and that one take each other's place.
    Excluded(Data),
}

/// What the entries of a table hold.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    slots: Vec<Slot>,
    /// By kind: 1 + the index of its slot.
    at: [u8; COUNT],
    words: u32,
}

impl Layout {
    /// Adds a kind of data.
    ///
    /// # Errors
    /// Why it cannot be there.
    pub fn store(&mut self, data: Data, elements: u32, period_us: u64) -> Result<(), StoreError> {
        if self.stores(data) {
            return Err(StoreError::Twice);
        }
        let rival = |(_, other, _): &&(&str, Data, Shape)| {
            let rivals = |a: Data, b: Data| a.element().is_some_and(|(array, _)| array == b);
            self.stores(*other) && (rivals(data, *other) || rivals(*other, data))
        };
        if let Some((_, other, _)) = TYPES.iter().find(rival) {
            return Err(StoreError::Excluded(*other));
        }
        self.slots.push(Slot { data, elements, period_us, offset: 0 });
        self.slots.sort_by_key(|slot| slot.data as usize);
        self.words = 0;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.offset = self.words;
            self.at[slot.data as usize] = index as u8 + 1;
            self.words += slot.elements
                * match slot.data.shape() {
                    Shape::Number | Shape::Long | Shape::Numbers => 1,
                    Shape::Rate | Shape::Rates => rate::WORDS as u32,
                    Shape::Name => 0,
                };
        }
        Ok(())
    }

    /// Returns whether that very kind is stored.
    pub fn stores(&self, data: Data) -> bool {
        self.at[data as usize] != 0
    }

    /// Returns whether there is anything to read for that kind: itself, or the array that takes its place.
    pub fn has(&self, data: Data) -> bool {
        self.stores(data) || self.place(data, 0).is_some()
    }

    /// Returns what is stored, in the order of [`TYPES`].
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Returns how many words an entry has.
    pub fn words(&self) -> usize {
        self.words as usize
    }

    /// Returns where a value stands; `element` counts in arrays.
    pub fn place(&self, data: Data, element: u32) -> Option<Place> {
        let (data, element) = match self.at[data as usize] {
            0 => data.element()?,
            _ => (data, element),
        };
        let index = self.at[data as usize].checked_sub(1)?;
        let slot = self.slots[usize::from(index)];
        if element >= slot.elements {
            return None;
        }
        let (shape, width) = match data.shape() {
            Shape::Rate | Shape::Rates => (Shape::Rate, rate::WORDS as u32),
            Shape::Numbers => (Shape::Number, 1),
            Shape::Name => return None,
            shape => (shape, 1),
        };
        let offset = (slot.offset + element * width) as usize;
        Some(Place { offset, shape, period_us: slot.period_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_stand_in_the_order_of_the_kinds() {
        for (index, (name, data, _)) in TYPES.iter().enumerate() {
            assert_eq!(*data as usize, index, "{name}");
        }
    }

    #[test]
    fn arrays_take_the_place_of_their_first_elements_and_exclude_them() {
        let mut layout = Layout::default();
        layout.store(Data::Gpc, 3, 0).expect("nothing else is there");
        assert_eq!(layout.store(Data::Gpc, 2, 0), Err(StoreError::Twice));
        assert_eq!(layout.store(Data::Gpc1, 1, 0), Err(StoreError::Excluded(Data::Gpc)));
        assert!(layout.has(Data::Gpc1) && !layout.has(Data::Gpt0));
        let offset = |data, element| layout.place(data, element).map(|place| place.offset);
        assert_eq!(offset(Data::Gpc1, 0), offset(Data::Gpc, 1));
        assert_eq!(offset(Data::Gpc, 3), None);
        let mut layout = Layout::default();
        layout.store(Data::Gpt0, 1, 0).expect("nothing else is there");
        assert_eq!(layout.store(Data::Gpt, 1, 0), Err(StoreError::Excluded(Data::Gpt0)));
        assert!(layout.place(Data::Gpt, 0).is_none());
    }

    #[test]
    fn no_two_values_share_a_word() {
        let mut layout = Layout::default();
        for (_, data, shape) in TYPES {
            let elements = if matches!(shape, Shape::Numbers | Shape::Rates) { 4 } else { 1 };
            // The arrays exclude what they stand for.
            let _ = layout.store(*data, elements, 1);
        }
        let mut owner = vec![None; layout.words()];
        for slot in layout.slots() {
            for element in 0..slot.elements {
                let Some(place) = layout.place(slot.data, element) else { continue };
                let width = if place.shape == Shape::Rate { rate::WORDS } else { 1 };
                for word in &mut owner[place.offset..place.offset + width] {
                    assert_eq!(word.replace(slot.data), None);
                }
            }
        }
        assert!(owner.iter().all(Option::is_some));
    }
}
