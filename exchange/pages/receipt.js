(function () {
  "use strict";
  var code = location.hash.slice(1);
  if (/^[0-9a-f]{64}$/.test(code)) {
    history.replaceState(null, "", location.pathname + location.search);
    document.getElementById("code").value = code;
    document.forms[0].submit();
  }
})();
