//! Inflates by the letter of RFC 1951, slowly, and takes no reference that reaches back further than its window.

/// Lengths of the codes that lengths of codes are written with, in this order (3.2.7).
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<usize, String> {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or("the stream ends inside a block")?;
            value |= usize::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Ok(value)
    }
}

/// A Huffman code: how many symbols have each length, and the symbols by length.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[usize]) -> Self {
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        let mut counts = [0; 16];
        symbols.iter().for_each(|&symbol| counts[lengths[symbol]] += 1);
        Self { counts, symbols }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, String> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            (index, first, code) = (index + count, (first + count) << 1, code << 1);
        }
        Err("no such code".to_owned())
    }
}

fn fixed_codes() -> (Code, Code) {
    let lengths = [[8; 144].as_slice(), &[9; 112], &[7; 24], &[8; 8]].concat();
    (Code::new(&lengths), Code::new(&[5; 30]))
}

fn dynamic_codes(bits: &mut Bits<'_>) -> Result<(Code, Code), String> {
    let (literals, distances, written) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    let mut lengths = [0; 19];
    for &place in &ORDER[..written] {
        lengths[place] = bits.take(3)?;
    }
    let code = Code::new(&lengths);
    let mut lengths = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.read(bits)? {
            16 => (*lengths.last().ok_or("nothing to repeat")?, bits.take(2)? + 3),
            17 => (0, bits.take(3)? + 3),
            18 => (0, bits.take(7)? + 11),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    let (literals, distances) = lengths.split_at(literals);
    Ok((Code::new(literals), Code::new(distances)))
}

/// A length's or a distance's symbol, with the bits that belong to it: `step` symbols at a time have one bit more.
fn with_extra(symbol: usize, step: usize, bits: &mut Bits<'_>) -> Result<usize, String> {
    if symbol < 2 * step {
        return Ok(symbol);
    }
    let extra = symbol / step - 1;
    Ok(((step + symbol % step) << extra) + bits.take(extra)?)
}

/// A message's content, from its payload. No block of it is the last (RFC 7692, 7.2.1).
pub(crate) fn inflate(payload: &[u8], window: usize) -> Result<Vec<u8>, String> {
    let whole = [payload, &[0x00, 0x00, 0xff, 0xff]].concat();
    let mut bits = Bits { bytes: &whole, at: 0 };
    let mut out = Vec::new();
    while bits.at < 8 * whole.len() {
        if bits.take(1)? == 1 {
            return Err("a last block".to_owned());
        }
        let (literals, distances) = match bits.take(2)? {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                let (length, check) = (bits.take(16)?, bits.take(16)?);
                if length != check ^ 0xffff {
                    return Err("a length that is none".to_owned());
                }
                for _ in 0..length {
                    out.push(bits.take(8)? as u8);
                }
                continue;
            }
            1 => fixed_codes(),
            2 => dynamic_codes(&mut bits)?,
            _ => return Err("a reserved kind of block".to_owned()),
        };
        loop {
            let length = match literals.read(&mut bits)? {
                256 => break,
                285 => 258,
                symbol @ 257.. => 3 + with_extra(symbol - 257, 4, &mut bits)?,
                literal => {
                    out.push(literal as u8);
                    continue;
                }
            };
            let distance = 1 + with_extra(distances.read(&mut bits)?, 2, &mut bits)?;
            if distance > window.min(out.len()) {
                return Err(format!("{distance} bytes back, {} after the beginning", out.len()));
            }
            for _ in 0..length {
                out.push(out[out.len() - distance]);
            }
        }
    }
    Ok(out)
}
