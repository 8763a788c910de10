"use strict";

// Whoever has opened the page with a session needs Django's token to try what changes something.
function withToken(request) {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (token && new URL(request.url, location.href).origin === location.origin) {
    request.headers["X-CSRFToken"] = token[1];
  }
  return request;
}

const place = document.getElementById("documentation");
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
  requestInterceptor: withToken,
});
