# syntax=docker/dockerfile:1

# What the service needs at run time. The embedded PostgreSQL is an optional dependency and stays out: an image is given a DATABASE_URL.
FROM node:24.19.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund && npm cache clean --force

FROM node:24.19.0-bookworm-slim
# Inside a container loopback is nobody's; who may reach the port is for whoever publishes it to say.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 TOCSIN_DATA=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY . .
RUN install -d -o node -g node -m 700 /data
USER node
# Holds the key that encrypts secrets where TOCSIN_SECRET_KEY is not set. Lose it, and every destination's secrets are lost.
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Everything in one process. To scale out, run `node src/server.ts` and `node workers/main.ts` apart: see docker-compose.yml.
CMD ["node", "start.ts"]
