//! Writing answers in the space that there is.
//!
//! hickory writes messages too, but compresses the first 120 names only. How many Pods fit into an
//! answer is what tests want to know, so names are compressed here as CoreDNS does it: all of them,
//! but not the targets of SRV records (RFC 2782), to which later names may point all the same.

use std::collections::HashMap;

use hickory_proto::{
    ProtoError,
    op::Message,
    rr::{Name, RData, Record},
    serialize::binary::{BinEncodable, BinEncoder, NameEncoding},
};

/// Pointers have 14 bits (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;
/// Where the flag is that says that the answer is truncated, and which bit it is.
const TRUNCATION: (usize, u8) = (2, 0x02);
/// Where the counts of the three sections are.
const COUNTS: [usize; 3] = [6, 8, 10];

/// The message in at most `limit` bytes. Where it does not fit, it has the records that do, and says
/// that it is truncated.
pub(super) fn encode(message: &Message, limit: u16) -> Result<Vec<u8>, ProtoError> {
    let mut head = message.clone();
    let sections = [
        std::mem::take(&mut head.answers),
        std::mem::take(&mut head.authorities),
        std::mem::take(&mut head.additionals),
    ];
    let options = head.edns.take();
    let mut writer = Writer::new(head.to_vec()?);
    if let Some(query) = message.queries.first() {
        writer.learn(&query.name, 12);
    }
    let options: Vec<Record> = options.iter().map(Record::from).collect();
    let options_length = match options.first() {
        Some(record) => writer.length_of(record)?,
        None => 0,
    };
    let limit = usize::from(limit).saturating_sub(options_length);
    let mut counts = [0_u16; 3];
    let mut truncated = false;
    for (section, count) in sections.iter().zip(&mut counts) {
        for record in section {
            if truncated {
                break;
            }
            match writer.record(record, limit)? {
                true => *count += 1,
                false => truncated = true,
            }
        }
    }
    for record in &options {
        writer.record(record, usize::MAX)?;
        counts[2] += 1;
    }
    for (count, place) in counts.into_iter().zip(COUNTS) {
        writer.put(place, &count.to_be_bytes());
    }
    let (place, bit) = TRUNCATION;
    let flags = writer.bytes.get(place).copied().unwrap_or_default();
    if truncated {
        writer.put(place, &[flags | bit]);
    }
    Ok(writer.bytes)
}

struct Writer {
    bytes: Vec<u8>,
    /// Where names, and the ends of names, were written, in lower case.
    places: HashMap<Vec<Vec<u8>>, u16>,
}

impl Writer {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            places: HashMap::new(),
        }
    }

    fn length_of(&self, record: &Record) -> Result<usize, ProtoError> {
        let mut scratch = Self::new(Vec::new());
        scratch.record(record, usize::MAX)?;
        Ok(scratch.bytes.len())
    }

    /// Writes a record, unless the message is longer than `limit` with it.
    fn record(&mut self, record: &Record, limit: usize) -> Result<bool, ProtoError> {
        let start = self.bytes.len();
        self.name(&record.name);
        let kind: u16 = record.record_type().into();
        let class: u16 = record.dns_class.into();
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(class.to_be_bytes());
        self.bytes.extend(record.ttl.to_be_bytes());
        let data = data(&record.data)?;
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_be_bytes());
        let data_start = self.bytes.len();
        self.bytes.extend(data);
        if self.bytes.len() > limit {
            self.bytes.truncate(start);
            return Ok(false);
        }
        if let RData::SRV(srv) = &record.data {
            // After priority, weight and port.
            self.learn(&srv.target, data_start + 6);
        }
        Ok(true)
    }

    /// Writes a name, as much of it as was not written before.
    fn name(&mut self, name: &Name) {
        let labels = labels(name);
        for (index, label) in labels.iter().enumerate() {
            let rest = labels.get(index..).unwrap_or_default();
            if let Some(place) = self.places.get(rest) {
                self.bytes.extend((POINTER | place).to_be_bytes());
                return;
            }
            self.note(rest, self.bytes.len());
            self.bytes.push(u8::try_from(label.len()).unwrap_or(63));
            self.bytes.extend(label);
        }
        self.bytes.push(0);
    }

    /// Notes that a name stands at `place`, uncompressed.
    fn learn(&mut self, name: &Name, mut place: usize) {
        let labels = labels(name);
        for (index, label) in labels.iter().enumerate() {
            self.note(labels.get(index..).unwrap_or_default(), place);
            place += 1 + label.len();
        }
    }

    fn note(&mut self, labels: &[Vec<u8>], place: usize) {
        let place = u16::try_from(place)
            .ok()
            .filter(|place| *place < POINTER >> 2);
        if let Some(place) = place {
            self.places.entry(labels.to_vec()).or_insert(place);
        }
    }

    fn put(&mut self, place: usize, bytes: &[u8]) {
        if let Some(there) = self.bytes.get_mut(place..place + bytes.len()) {
            there.copy_from_slice(bytes);
        }
    }
}

fn labels(name: &Name) -> Vec<Vec<u8>> {
    name.iter().map(<[u8]>::to_ascii_lowercase).collect()
}

/// The data of a record, without compression.
fn data(data: &RData) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::{
        op::{Edns, MessageType, OpCode, Query},
        rr::{RecordType, rdata::SRV},
    };

    use super::super::zone::parse;
    use super::*;

    fn message() -> Message {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        let name = parse("_http._tcp.db.shop.svc.cluster.local").unwrap();
        message.add_query(Query::query(name.clone(), RecordType::SRV));
        for n in 0..200_u8 {
            let pod = parse(&format!("db-{n}.db.shop.svc.cluster.local")).unwrap();
            let srv = RData::SRV(SRV::new(0, 1, 80, pod.clone()));
            message.add_answer(Record::from_rdata(name.clone(), 5, srv));
            let ip = RData::A(Ipv4Addr::new(10, 0, 0, n).into());
            message.add_additional(Record::from_rdata(pod, 5, ip));
        }
        message.set_edns(Edns::new());
        message
    }

    #[test]
    fn what_is_written_is_read_by_others() {
        let message = message();
        let bytes = encode(&message, u16::MAX).unwrap();
        let read = Message::from_vec(&bytes).unwrap();
        assert_eq!(read.answers, message.answers);
        assert_eq!(read.additionals, message.additionals);
        assert_eq!(read.queries, message.queries);
        assert!(read.edns.is_some() && !read.truncation);
        assert!(bytes.len() < message.to_vec().unwrap().len());
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_said_to_be() {
        let message = message();
        for limit in [512, 1232, 8000, 12_000] {
            let bytes = encode(&message, limit).unwrap();
            assert!(bytes.len() <= usize::from(limit));
            let read = Message::from_vec(&bytes).unwrap();
            assert!(read.truncation && read.edns.is_some());
            let answers = read.answers.len();
            assert_eq!(read.answers, message.answers[..answers]);
            assert!(answers == 200 || read.additionals.is_empty());
        }
    }
}
