//! Reads this machine every second and keeps what it read in the telemetry model.

#[path = "../guest/rust/edgehost.rs"]
mod edgehost;

use edgehost::{answer, config, log_debug, log_warn, object, readings, save, Json};

/// Called by the host's timer.
#[no_mangle]
pub extern "C" fn collect() -> i32 {
    answer(|_| {
        let mut data = readings(&object([]))?;
        if !config("host").is_empty() {
            data.set("host", Json::from(config("host").as_str()));
        }
        let mut request = object([("model", Json::from("telemetry"))]);
        if let Some(id) = slot(data.get("uptime_s")) {
            request.set("id", Json::from(id.as_str()));
        }
        request.set("data", data);
        match save(&request) {
            Ok(record) => {
                log_debug("stored a reading");
                Ok(object([("saved", record.get("id").clone())]))
            }
            // No fault of this component: the model may not be live yet, or the disk may be full.
            Err(refusal) => {
                log_warn(&format!("the reading was not stored: {}", refusal));
                Ok(object([("saved", Json::Null), ("why", Json::from(refusal.code.as_str()))]))
            }
        }
    })
}

/// The record of this second: with `ring = "3600"` an hour is kept and then written over.
fn slot(uptime_s: &Json) -> Option<String> {
    let ring: i64 = config("ring").parse().ok().filter(|ring| *ring > 0)?;
    Some(format!("slot-{}", uptime_s.as_whole()? % ring))
}

/// Asks nothing of the host, so it answers wherever this component arrives.
#[no_mangle]
pub extern "C" fn probe() -> i32 {
    answer(|input| {
        input.get("uptime_s").as_whole().ok_or("the probe's input has no uptime_s")?;
        Ok(object([("healthy", Json::Bool(true))]))
    })
}
