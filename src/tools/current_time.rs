//! The tool current_time.

use chrono::{Datelike as _, FixedOffset, Timelike as _};
use serde_json::{Value, json};

use super::{
    deed::{classed, deeds, output},
    registry::ToolContext,
    store,
};
use crate::engine::{
    port::Answer,
    state::{ErrorClass, StepError},
};

deeds! {
    CurrentTime = "current_time" => tell_time;
}

async fn tell_time(arguments: &Value, context: &ToolContext<'_>) -> Result<Answer, StepError> {
    let minutes = arguments.get("offset_minutes").and_then(Value::as_i64).unwrap_or(0);
    let offset = i32::try_from(minutes * 60).ok().and_then(FixedOffset::east_opt);
    let offset =
        offset.ok_or_else(|| StepError::new(ErrorClass::BadInput, "time.offset", "There is no such offset."))?;
    let mut tx = context.db.tenant(context.scope.org).await.map_err(classed)?;
    let now = store::now(&mut tx).await.map_err(classed)?.with_timezone(&offset);
    Ok(output(json!({
        "now": now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "date": now.format("%Y-%m-%d").to_string(),
        "time": format!("{:02}:{:02}", now.hour(), now.minute()),
        "weekday": weekday(now.weekday()),
        "unix": now.timestamp(),
    })))
}

fn weekday(day: chrono::Weekday) -> &'static str {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][day.num_days_from_monday() as usize]
}
