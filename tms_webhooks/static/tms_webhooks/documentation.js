"use strict";

// Requests of a signed-in user need Django's CSRF token.
function withToken(request) {
  const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  if (token && new URL(request.url, location.href).origin === location.origin) {
    request.headers["X-CSRFToken"] = token[1];
  }
  return request;
}

const container = document.getElementById("documentation");
SwaggerUIBundle({
  domNode: container,
  url: container.dataset.document,
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
  requestInterceptor: withToken,
});
