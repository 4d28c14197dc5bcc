// Points in time as this visitor's clock and calendar show them.

const MINUTE_MS = 60_000;
const locale = "en-GB";

const part = (options) => (date) => new Intl.DateTimeFormat(locale, options).format(date);
const clock = part({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = part({ day: "numeric", month: "short" });
const dated = part({ day: "numeric", month: "short", year: "numeric" });
const whole = part({ dateStyle: "medium", timeStyle: "long" });

/** 14:05 today, 3 Mar in this year, 3 Mar 2024 in another; in the zone of the browser. */
export function shortTime(date, now = new Date()) {
  if (dated(date) === dated(now)) return clock(date);
  return date.getFullYear() === now.getFullYear() ? day(date) : dated(date);
}

/** Write what stands in the <time> elements under `root`, for which `datetime` is in UTC. */
export function tellTimes(root, now = new Date()) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const text = shortTime(date, now);
    if (element.textContent === text) continue;
    element.textContent = text;
    element.title = whole(date);
  }
}

/** Keep them true while `root` is shown: today becomes yesterday. Returns how to end it. */
export function keepTimes(root) {
  const timer = setInterval(() => tellTimes(root), MINUTE_MS);
  return () => clearInterval(timer);
}
