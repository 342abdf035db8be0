//! Events as Parquet: a folder `run=RUN/host=HOST` for each, as Hive names partitions, with one file in it.

use crate::failure::Failure;
use crate::load;
use crate::output::Output;
use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Rows that are in memory at once, for each host.
const GROUP: usize = 1 << 16;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Text,
    /// us since 1970.
    Time,
}

/// Name, type, and the field of the trace that it is; without a field it is worked out.
const COLUMNS: [(&str, Type, &str); 25] = [
    ("label", Type::Text, ""),
    ("time", Type::Time, ""),
    ("pid", Type::Integer, "pid"),
    ("tid", Type::Integer, "tid"),
    ("n", Type::Integer, "n"),
    ("monotonic_ns", Type::Integer, "t"),
    ("event", Type::Text, "ev"),
    ("function", Type::Text, "fn"),
    ("layer", Type::Text, "layer"),
    ("depth", Type::Integer, "depth"),
    ("rc", Type::Integer, "rc"),
    ("duration_ns", Type::Integer, "dur"),
    ("module", Type::Text, "mod"),
    ("kind", Type::Text, "kind"),
    ("device", Type::Integer, "dev"),
    ("size_bytes", Type::Integer, "size"),
    ("address", Type::Text, "ptr"),
    ("free_bytes", Type::Integer, "free"),
    ("total_bytes", Type::Integer, "total"),
    ("reserved_bytes", Type::Integer, "reserved"),
    ("of", Type::Integer, "of"),
    ("name", Type::Text, "name"),
    ("path", Type::Text, "path"),
    ("text", Type::Text, "text"),
    ("rest", Type::Text, ""),
];

/// Writes all runs below a folder.
///
/// # Errors
/// Those of loading a trace; bad input if a file cannot be written.
pub fn write(traces: &[PathBuf], folder: &Path) -> Result<(), Failure> {
    if folder == Path::new("-") {
        return Err(Failure::input("a folder of Parquet files is no stream", "name the folder with -o"));
    }
    for directory in traces {
        // What is no trace says so here, as everywhere.
        let name = load::trace(directory)?.name;
        let mut hosts: BTreeMap<String, Partition> = BTreeMap::new();
        for path in load::files(directory)? {
            read(&path, |host, label, started, event| {
                let partition = match hosts.entry(host.to_owned()) {
                    std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                    std::collections::btree_map::Entry::Vacant(free) => {
                        let place = format!("run={}/host={}/events.parquet", encoded(&name), encoded(host));
                        free.insert(Partition::create(&folder.join(place))?)
                    }
                };
                partition.add(label, started, event)
            })?;
        }
        for (_, partition) in hosts {
            partition.finish()?;
        }
    }
    Ok(())
}

/// Of a value in the name of a partition: everything but letters, digits and what cannot be mistaken.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let text: String = value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    match text.as_str() {
        // Hive's own name for nothing.
        "" => "__HIVE_DEFAULT_PARTITION__".into(),
        "." | ".." => text.replace('.', "%2E"),
        _ => text,
    }
}

/// Every event of a file, with the host, the label, and what its header says of 1970. Lines that do not parse are left
/// out: `kvtrace show` tells of them.
fn read(
    path: &Path,
    mut take: impl FnMut(&str, &str, i128, Map<String, Value>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut file = BufReader::with_capacity(1 << 20, std::fs::File::open(path)?);
    let (mut host, mut label, mut started) = (String::new(), String::new(), 0i128);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        if let Ok(event) = serde_json::from_slice::<Map<String, Value>>(&line) {
            if event.get("ev").is_some_and(|kind| kind == "process") {
                let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let number = |name: &str| i128::from(event.get(name).and_then(Value::as_u64).unwrap_or(0));
                (host, label, started) = (text("host"), text("label"), number("wall") - number("t"));
            }
            take(&host, &label, started, event)?;
        }
        line.clear();
    }
    Ok(())
}

/// Values of a column that are there, and for each row whether one is.
enum Values {
    Integers(Vec<i64>),
    Texts(Vec<ByteArray>),
}

struct Column {
    values: Values,
    there: Vec<i16>,
}

/// One file as it grows.
struct Partition {
    columns: Vec<Column>,
    rows: usize,
    writer: SerializedFileWriter<NamedTempFile>,
    path: PathBuf,
}

impl Partition {
    fn create(path: &Path) -> Result<Self, Failure> {
        if let Some(folder) = path.parent() {
            let failed = |error: std::io::Error| {
                Failure::input(format!("{}: {error}", folder.display()), "name a folder that can be written, with -o")
            };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let fields = COLUMNS.map(|(name, kind, _)| match kind {
            Type::Integer => format!("optional int64 {name};"),
            Type::Text => format!("optional binary {name} (STRING);"),
            Type::Time => format!("optional int64 {name} (TIMESTAMP(MICROS,true));"),
        });
        let schema = parse_message_type(&format!("message event {{ {} }}", fields.join(" "))).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("kvtrace {}", env!("CARGO_PKG_VERSION")))
            .build();
        let (schema, properties) = (Arc::new(schema), Arc::new(properties));
        let writer = SerializedFileWriter::new(Output::private_aside(path)?, schema, properties).map_err(failed)?;
        Ok(Partition { columns: empty(), rows: 0, writer, path: path.to_owned() })
    }

    fn add(&mut self, label: &str, started: i128, mut event: Map<String, Value>) -> Result<(), Failure> {
        let at = event.get("t").and_then(Value::as_u64).unwrap_or(0);
        let time = i64::try_from((started + i128::from(at)) / 1000).ok();
        for ((name, kind, field), column) in COLUMNS.iter().zip(&mut self.columns) {
            match (*name, kind) {
                ("label", _) => column.text(Some(label)),
                ("time", _) => column.integer(time),
                ("rest", _) => {
                    let rest = (!event.is_empty()).then(|| Value::Object(std::mem::take(&mut event)).to_string());
                    column.text(rest.as_deref());
                }
                (_, Type::Text) => {
                    let text = event.get(*field).and_then(Value::as_str).map(str::to_owned);
                    column.text(text.as_deref());
                    if text.is_some() {
                        event.remove(*field);
                    }
                }
                _ => {
                    let number = event.get(*field).and_then(Value::as_i64);
                    column.integer(number);
                    if number.is_some() {
                        event.remove(*field);
                    }
                }
            }
        }
        self.rows += 1;
        if self.rows == GROUP { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let columns = std::mem::replace(&mut self.columns, empty());
        self.rows = 0;
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for column in columns {
            let Some(mut writer) = group.next_column().map_err(failed)? else { break };
            let there = Some(column.there.as_slice());
            match &column.values {
                Values::Integers(values) => writer.typed::<Int64Type>().write_batch(values, there, None),
                Values::Texts(values) => writer.typed::<ByteArrayType>().write_batch(values, there, None),
            }
            .map_err(failed)?;
            writer.close().map_err(failed)?;
        }
        group.close().map(|_| ()).map_err(failed)
    }

    fn finish(mut self) -> Result<(), Failure> {
        if self.rows > 0 {
            self.flush()?;
        }
        let aside = self.writer.into_inner().map_err(failed)?;
        Output::File { aside, path: self.path }.write(&[])
    }
}

impl Column {
    fn integer(&mut self, value: Option<i64>) {
        self.there.push(value.is_some().into());
        if let (Values::Integers(values), Some(value)) = (&mut self.values, value) {
            values.push(value);
        }
    }

    fn text(&mut self, value: Option<&str>) {
        self.there.push(value.is_some().into());
        if let (Values::Texts(values), Some(value)) = (&mut self.values, value) {
            values.push(value.into());
        }
    }
}

fn empty() -> Vec<Column> {
    let values = |kind| match kind {
        Type::Text => Values::Texts(Vec::new()),
        Type::Integer | Type::Time => Values::Integers(Vec::new()),
    };
    COLUMNS.map(|(_, kind, _)| Column { values: values(kind), there: Vec::new() }).into()
}

fn failed(error: ParquetError) -> Failure {
    Failure::input(format!("the Parquet file could not be written: {error}"), "name a folder with room, with -o")
}
