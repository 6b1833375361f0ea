// Positions of drones: refuses one that is no place on Earth, marks one outside the fence, and tells the host of it.

import {
  config, fail, input, Json, jsonBool, jsonNumber, jsonObject, jsonText, logInfo, logWarn, notify, output,
} from "../guest/assemblyscript/edgehost";

const EARTH_RADIUS_M: f64 = 6371008.8; // the mean radius
const DEGREE: f64 = Math.PI / 180;

/** Asked before a position is stored: completes "distance_m" from the fence's centre and "inside". */
export function validate(): i32 {
  const asked = input();
  const data = asked.get("data");
  const fault = faultIn(data);
  if (fault.length) return fail(fault);
  const distance = distanceFromCentre(data);
  if (isNaN(distance)) return fail("config needs latitude, longitude and radius_m as numbers");
  const inside = distance <= F64.parseFloat(config("radius_m"));
  const was = asked.get("previous").get("inside");
  data.set("distance_m", jsonNumber(distance, 1)).set("inside", jsonBool(inside));
  if (!inside && (was.isNull || was.isTrue)) left(asked.get("id"), data);
  return output(jsonObject().set("data", data));
}

/** A command: how far the position is from the fence, in words. */
export function report(): i32 {
  const data = input().get("record").get("data");
  if (faultIn(data).length) return fail("the record has no position");
  const margin = F64.parseFloat(config("radius_m")) - distanceFromCentre(data);
  const words = jsonNumber(Math.abs(margin), 0).toString() + (margin < 0 ? " m outside" : " m inside");
  logInfo(words);
  return output(jsonObject().set("result", jsonObject().set("text", jsonText(words)).set("margin_m", jsonNumber(margin, 1))));
}

function faultIn(data: Json): string {
  const latitude = data.get("latitude").number;
  const longitude = data.get("longitude").number;
  if (isNaN(latitude) || isNaN(longitude)) return "latitude and longitude must be numbers";
  if (Math.abs(latitude) > 90) return "latitude is outside -90 to 90";
  if (Math.abs(longitude) > 180) return "longitude is outside -180 to 180";
  return "";
}

/** Along the great circle, by the haversine formula: exact to half a percent, and stable for small distances. */
function distanceFromCentre(data: Json): f64 {
  const latitude = data.get("latitude").number * DEGREE;
  const centre = F64.parseFloat(config("latitude")) * DEGREE;
  const east = data.get("longitude").number * DEGREE - F64.parseFloat(config("longitude")) * DEGREE;
  const a = Math.sin((latitude - centre) / 2) ** 2 +
    Math.cos(latitude) * Math.cos(centre) * Math.sin(east / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(a)));
}

function left(id: Json, data: Json): void {
  const event = jsonObject().set("id", id).set("distance_m", data.get("distance_m"));
  const reply = notify(jsonObject().set("type", jsonText("left-the-fence")).set("data", event));
  if (!reply.get("error").isNull) logWarn("the event was not taken: " + reply.get("error").get("code").text);
}
