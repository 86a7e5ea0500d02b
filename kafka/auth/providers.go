package auth

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// provider looks a key up under a path, as Kafka's ConfigProvider does.
type provider func(path, key string) (string, error)

// reference finds ${provider:key} and ${provider:path:key}.
func reference() *regexp.Regexp { return regexp.MustCompile(`\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`) }

// resolveProviders replaces references in values by what the providers of
// config.providers give. What refers to no provider stays as it is.
func (s *settings) resolveProviders() error {
	providers := map[string]provider{}
	for _, name := range strings.Split(s.value("config.providers"), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		p, err := s.provider(name)
		if err != nil {
			return err
		}
		providers[name] = p
	}
	if len(providers) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		if strings.HasPrefix(name, "config.providers") {
			continue
		}
		given := s.byName[name]
		value, err := replaceReferences(given.value, providers)
		if err != nil {
			return &Error{Where: given.where, what: "resolve what " + name + " refers to", cause: err}
		}
		s.byName[name] = setting{value, given.where}
	}
	return nil
}

func replaceReferences(value string, providers map[string]provider) (string, error) {
	var failed error
	out := reference().ReplaceAllStringFunc(value, func(match string) string {
		m := reference().FindStringSubmatch(match)
		find, ok := providers[m[1]]
		if !ok {
			return match
		}
		found, err := find(m[3], m[4])
		if err != nil && failed == nil {
			failed = err
		}
		return found
	})
	return out, failed
}

// provider makes the provider of a name from its class and parameters.
func (s *settings) provider(name string) (provider, error) {
	class := "config.providers." + name + ".class"
	param := func(p string) string { return s.value("config.providers." + name + ".param." + p) }
	const ours = "org.apache.kafka.common.config.provider."
	switch strings.TrimSpace(s.value(class)) {
	case ours + "EnvVarConfigProvider":
		return s.environment(class, param("allowlist.pattern"))
	case ours + "FileConfigProvider":
		allowed := param("allowed.paths")
		return func(path, key string) (string, error) { return s.fromFile(allowed, path, key) }, nil
	case ours + "DirectoryConfigProvider":
		allowed := param("allowed.paths")
		return func(path, key string) (string, error) { return s.fromDirectory(allowed, path, key) }, nil
	}
	where := s.byName[class].where
	if where == "" {
		where = s.byName["config.providers"].where
	}
	return nil, &Error{Where: where, what: class + " is none of Kafka's providers for env, file and directory",
		hint: "write " + ours + "EnvVarConfigProvider, FileConfigProvider or DirectoryConfigProvider"}
}

func (s *settings) environment(class, allow string) (provider, error) {
	allowed, err := regexp.Compile("^(?:" + allow + ")$")
	if err != nil {
		return nil, &Error{Where: s.byName[class].where, what: "the allowlist.pattern of an EnvVarConfigProvider is not a regular expression"}
	}
	return func(_, key string) (string, error) {
		if allow != "" && !allowed.MatchString(key) {
			return "", fmt.Errorf("variable %s: allowlist.pattern does not allow it", key)
		}
		value := s.getenv(key)
		if value == "" {
			return "", fmt.Errorf("variable %s: %w", key, errNoSuchVariable)
		}
		return value, nil
	}, nil
}

func (s *settings) fromFile(allowed, path, key string) (string, error) {
	if err := checkAllowed(allowed, path); err != nil {
		return "", err
	}
	b, err := s.readFile(path)
	if err != nil {
		return "", err
	}
	// This provider alone reads UTF-8, which the reader of properties takes escaped.
	properties, err := parseProperties([]byte(escapeUTF8(string(b))))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	for _, p := range slices.Backward(properties) {
		if p.name == key {
			return p.value, nil
		}
	}
	return "", fmt.Errorf("read %s: it has no key %q", path, key)
}

func (s *settings) fromDirectory(allowed, path, key string) (string, error) {
	if key != filepath.Base(key) {
		return "", fmt.Errorf("read the folder %s: the key names no file in it", path)
	}
	if err := checkAllowed(allowed, filepath.Join(path, key)); err != nil {
		return "", err
	}
	b, err := s.readFile(filepath.Join(path, key))
	return string(b), err
}

// checkAllowed holds a path against allowed.paths.
func checkAllowed(allowed, path string) error {
	if allowed == "" {
		return nil
	}
	path = filepath.Clean(path)
	for _, root := range strings.Split(allowed, ",") {
		root = filepath.Clean(strings.TrimSpace(root))
		if path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("read %s: allowed.paths does not allow it", path)
}

// escapeUTF8 writes what is not ASCII as escapes.
func escapeUTF8(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return b.String()
}
