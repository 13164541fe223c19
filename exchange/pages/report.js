(function () {
  "use strict";
  var code = location.hash.slice(1);
  if (/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(code)) {
    history.replaceState(null, "", location.pathname + location.search);
    document.getElementById("code").value = code;
    document.forms[0].submit();
  }
})();
