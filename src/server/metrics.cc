#include "src/server/metrics.h"

#include <fmt/format.h>

namespace msb::server {
namespace {

// Writes one family after the other.
class Page {
 public:
  void Family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  // Values of labels here are names and numbers: nothing in them needs to be escaped.
  template <typename T>
  void Sample(std::string_view labels, T value, std::string_view suffix = "") {
    text_ += labels.empty() ? fmt::format("{}{} {}\n", name_, suffix, value)
                            : fmt::format("{}{}{{{}}} {}\n", name_, suffix, labels, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string_view name_;
  std::string text_;
};

void AddHttp(Page& page, const http::Counters& counters) {
  page.Family("microsandbox_http_requests_total", "counter", "Requests answered, by status.");
  for (const auto& [status, count] : counters.responses) {
    page.Sample(fmt::format("status=\"{}\"", status), count);
  }
  page.Family("microsandbox_http_request_duration_seconds", "histogram",
              "From a request's head to its answer's end.");
  uint64_t below = 0;
  for (size_t i = 0; i < counters.latency.size(); ++i) {
    below += counters.latency[i];
    const bool last = i == http::Counters::kBuckets_s.size();
    page.Sample(
        fmt::format("le=\"{}\"", last ? "+Inf" : fmt::format("{}", http::Counters::kBuckets_s[i])),
        below, "_bucket");
  }
  page.Sample("", counters.latency_sum_s, "_sum");
  page.Sample("", below, "_count");
  page.Family("microsandbox_http_requests_running", "gauge", "Requests that are being answered.");
  page.Sample("", counters.requests_running);
  page.Family("microsandbox_http_connections", "gauge", "Connections that are open.");
  page.Sample("", counters.connections_open);
  page.Family("microsandbox_http_connections_accepted_total", "counter", "Connections accepted.");
  page.Sample("", counters.connections_accepted);
  page.Family("microsandbox_http_connections_refused_total", "counter",
              "Connections closed: foreign peers, those beyond the limit, and strangers for them.");
  page.Sample("", counters.connections_refused);
  page.Family("microsandbox_http_received_bytes_total", "counter", "Bytes received.");
  page.Sample("", counters.bytes_in);
  page.Family("microsandbox_http_sent_bytes_total", "counter", "Bytes sent.");
  page.Sample("", counters.bytes_out);
}

void AddCalls(Page& page, const CallCounters& calls) {
  page.Family("microsandbox_calls_total", "counter",
              "Calls of the API's methods; code 0 is success, else the error's.");
  for (const auto& [name, method] : calls.methods) {
    page.Sample(fmt::format("method=\"{}\",code=\"0\"", name), method.succeeded);
    for (const auto& [code, count] : method.failed) {
      page.Sample(fmt::format("method=\"{}\",code=\"{}\"", name, code), count);
    }
  }
  page.Family("microsandbox_call_duration_seconds", "summary", "How long calls took.");
  for (const auto& [name, method] : calls.methods) {
    uint64_t count = method.succeeded;
    for (const auto& [code, failed] : method.failed) count += failed;
    const std::string labels = fmt::format("method=\"{}\"", name);
    page.Sample(labels, method.seconds, "_sum");
    page.Sample(labels, count, "_count");
  }
  page.Family("microsandbox_calls_running", "gauge", "Calls that have not ended.");
  page.Sample("", calls.running);
}

void AddSandboxes(Page& page, const std::vector<Listed>& sandboxes) {
  const auto labels = [](const SandboxKey& key) {
    return fmt::format("namespace=\"{}\",sandbox=\"{}\"", key.namespace_, key.name);
  };
  page.Family("microsandbox_sandboxes", "gauge", "Sandboxes that run.");
  page.Sample("", sandboxes.size());
  page.Family("microsandbox_sandbox_cpu_seconds_total", "counter",
              "CPU time of a sandbox's processes on the host.");
  for (const Listed& one : sandboxes) {
    constexpr double kMicrosInSecond = 1e6;
    page.Sample(labels(one.key), static_cast<double>(one.usage.cpu_us) / kMicrosInSecond);
  }
  page.Family("microsandbox_sandbox_memory_bytes", "gauge",
              "Memory of a sandbox's processes on the host.");
  for (const Listed& one : sandboxes) page.Sample(labels(one.key), one.usage.memory_bytes);
  page.Family("microsandbox_sandbox_disk_bytes", "gauge",
              "Bytes that a sandbox's disk takes on the host.");
  for (const Listed& one : sandboxes) page.Sample(labels(one.key), one.disk_bytes);
}

}  // namespace

std::string PrometheusText(const MetricsInput& input) {
  Page page;
  AddHttp(page, input.http);
  AddCalls(page, input.calls);
  AddSandboxes(page, input.sandboxes);
  page.Family("process_resident_memory_bytes", "gauge", "Memory of the server.");
  page.Sample("", input.resident_bytes);
  page.Family("process_start_time_seconds", "gauge", "When the server was started, since 1970.");
  page.Sample("", input.start_time_s);
  return page.Take();
}

}  // namespace msb::server
