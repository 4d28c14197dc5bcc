import assert from "node:assert/strict";
import { test } from "node:test";

process.env.TZ = "Asia/Tokyo"; // before the first Date: nine hours ahead of UTC

const { shortTime, tellTimes } = await import("../../../frontend/components/assets/times.js");

const at = (text) => new Date(text);

test("a time is told in the zone of the browser, with the year where it is not this one", () => {
  const now = at("2026-06-15T12:00:00Z"); // 21:00 there
  assert.equal(shortTime(at("2026-06-15T05:05:00Z"), now), "14:05");
  assert.equal(shortTime(at("2026-06-14T16:00:00Z"), now), "01:00"); // today there, yesterday in UTC
  assert.equal(shortTime(at("2026-06-14T14:00:00Z"), now), "14 Jun");
  assert.equal(shortTime(at("2025-06-15T12:00:00Z"), now), "15 Jun 2025");
  assert.equal(shortTime(at("2025-12-31T16:00:00Z"), now), "1 Jan"); // this year there, the last in UTC
});

test("what stands in the cells is replaced, and follows the calendar", () => {
  const element = { dateTime: "2026-06-15T05:05:00Z", textContent: "15 Jun 2026 05:05 UTC", title: "" };
  const root = { querySelectorAll: (what) => (what === "time[datetime]" ? [element] : []) };
  tellTimes(root, at("2026-06-15T12:00:00Z"));
  assert.equal(element.textContent, "14:05");
  assert.match(element.title, /15 Jun 2026.*14:05:00/);
  tellTimes(root, at("2026-06-16T12:00:00Z"));
  assert.equal(element.textContent, "15 Jun");
});
