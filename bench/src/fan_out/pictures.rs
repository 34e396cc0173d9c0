//! Which numbers are drawn.

use super::results::Results;
use super::run::{IDLE, idle};
use super::server::Kind;
use super::svg::{Chart, Line};

/// A point of the chart: how far to the right, and where it was measured.
type Spot = (f64, String);

/// The pictures, by their file names.
#[must_use]
pub fn pictures(results: &Results) -> Vec<(&'static str, String)> {
    let charts = [
        ("throughput.svg", throughput(results)),
        ("latency.svg", latency(results)),
        ("memory.svg", memory(results)),
        ("cpu-clients.svg", cpu_by_clients(results)),
        ("cpu-rooms.svg", cpu_by_rooms(results)),
    ];
    charts.into_iter().filter_map(|(name, chart)| chart.draw().map(|svg| (name, svg))).collect()
}

fn lines(results: &Results, spots: &[Spot], metric: &str, label: &str) -> Vec<Line> {
    let line = |kind: Kind| {
        let at = |(across, point): &Spot| results.median(point, kind.name(), metric).map(|value| (*across, value));
        let points = spots.iter().filter_map(at).filter(|(_, value)| *value > 0.0).collect();
        Line { name: format!("{}{label}", kind.name()), points }
    };
    // A single spot is no line; the tables have it.
    Kind::ALL.into_iter().map(line).filter(|line| line.points.len() > 1).collect()
}

fn throughput(results: &Results) -> Chart {
    let spot = |most: u32| (f64::from(most), format!("1000 clients, 1 room, {most} in flight"));
    let lines = lines(results, &[1, 2, 4, 8, 16, 64].map(spot), "deliveries/s", "");
    Chart {
        title: "Deliveries a second, 1,000 clients in one room",
        across: "messages in flight",
        up: "deliveries a second",
        lines,
    }
}

fn latency(results: &Results) -> Chart {
    let spot = |rate: u32| (f64::from(rate), format!("1000 clients, 1 room, {rate} deliveries/s"));
    let spots = [10_000, 25_000, 50_000, 75_000, 100_000].map(spot);
    let mut all = lines(results, &spots, "p50 ms", ", p50");
    all.extend(lines(results, &spots, "p99 ms", ", p99"));
    Chart { title: "From due to a client, open loop", across: "deliveries a second", up: "milliseconds", lines: all }
}

fn memory(results: &Results) -> Chart {
    let spot = |clients: usize| (clients as f64, idle(clients));
    let lines = lines(results, &IDLE.map(spot), "rss MiB", "");
    Chart { title: "Memory of idle clients", across: "connections", up: "resident MiB", lines }
}

fn cpu_by_clients(results: &Results) -> Chart {
    let spot = |clients: u32| (f64::from(clients), format!("{clients} clients, 1 room, 1 in flight"));
    let lines = lines(results, &[100, 1_000, 5_000].map(spot), "server cpu us/delivery", "");
    Chart { title: "Processor time as a room grows", across: "clients in the room", up: "µs a delivery", lines }
}

fn cpu_by_rooms(results: &Results) -> Chart {
    let spot = |rooms: u32| (f64::from(rooms), format!("{} clients, {rooms} rooms, 1 in flight", rooms * 10));
    let lines = lines(results, &[10, 100, 1_000].map(spot), "server cpu us/delivery", "");
    Chart { title: "Processor time as rooms of ten grow in number", across: "rooms", up: "µs a delivery", lines }
}
