// Runs in the head of a page, before anything is drawn: the server draws in the theme that the cookie names.
(() => {
  const ASKED = "spinscope:theme-asked";
  const { drawn, cookie } = document.currentScript.dataset;
  globalThis.spinscopeTheme = (theme) => {
    document.cookie = `${cookie}=${theme}; path=/; max-age=31536000; samesite=lax`;
  };
  try {
    // Whoever has not chosen here has chosen for all pages.
    const preferred = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    const wanted = localStorage.getItem("spinscope:theme") ?? preferred;
    globalThis.spinscopeTheme(wanted);
    if (wanted === drawn) {
      sessionStorage.removeItem(ASKED);
    } else if (sessionStorage.getItem(ASKED) !== wanted && document.cookie.includes(`${cookie}=${wanted}`)) {
      sessionStorage.setItem(ASKED, wanted); // once: a server that never sees the cookie would be asked for ever
      location.reload();
    }
  } catch {
    // Storage may be forbidden: the page turns when its session answers.
  }
})();
