# An image with the program, certificates of public authorities, and nothing else:
#   docker build --build-arg VERSION=1.2.3 -t coldstream .
#   docker run --read-only --tmpfs /tmp -v ./config.yaml:/etc/coldstream/config.yaml:ro -v vault:/vault coldstream
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=development
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X coldstream/internal/program.version=${VERSION}" -o /out/coldstream ./cmd/coldstream \
 && mkdir /out/vault

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/coldstream /usr/bin/coldstream
COPY --from=build --chown=65532:65532 /out/vault /vault
USER 65532:65532
ENTRYPOINT ["/usr/bin/coldstream"]
CMD ["run", "--config", "/etc/coldstream/config.yaml"]
